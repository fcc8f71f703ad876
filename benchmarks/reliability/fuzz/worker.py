"""Runs inputs of the fuzzer one after the other and judges each. It is told their numbers on stdin."""

from __future__ import annotations

import faulthandler
import json
import os
import re
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.common import command_parser
from benchmarks.reliability.fuzz.cases import Case, Maker
from benchmarks.reliability.fuzz.reference import Wrong
from mien import cli
from mien.errors import MienError

GIB = 2**30
LIMIT = 12 * GIB
"""Of the address space; what is mapped but not used counts, too."""
PEAK = 3 * GIB
"""Of memory in use."""
SLOW = 27.0
"""Seconds after which the threads' stacks are printed: soon the parent gives up."""
OURS = re.compile(r"fer-run:|usage:|live page:|written:| |[0-9]+ frames?, |$")
"""How lines of stderr may begin; anything else is the chatter of a library."""


def main() -> None:
    parser = command_parser("reliability.fuzz.worker", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--model", required=True)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    warnings.filterwarnings("error", category=RuntimeWarning)  # numpy's: what overflows was not looked at
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # OpenVINO would tell of each import
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    orders, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(args.folder / name, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    faulthandler.enable()
    maker = Maker(args.seed, args.base, args.model)
    for line in orders:
        answers.write(json.dumps(judge(maker, int(line), args.folder)) + "\n")
        answers.flush()


def judge(maker: Maker, index: int, folder: Path) -> dict[str, Any]:
    """``result``: ok, refused or failed; ``why`` it failed; the ``noise`` on stderr; seconds and peak memory."""
    work = folder / str(index)
    work.mkdir()
    os.chdir(work)
    for name in ("stdout", "stderr"):
        os.truncate(folder / name, 0)
    case = maker.make(index, work)
    threads, files = set(threading.enumerate()), set(work.rglob(".*"))
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far
    faulthandler.dump_traceback_later(SLOW)
    start = time.monotonic()
    compared, words = False, ""
    try:
        if case.argv is not None:
            result, why = command(case)
        else:
            result, why, compared, words = called(case)
    finally:
        faulthandler.cancel_dump_traceback_later()
    seconds = time.monotonic() - start
    for stream in (sys.stdout, sys.stderr):
        with suppress(UnicodeError):
            stream.flush()
    coding = sys.stdout.encoding
    out, err = ((folder / name).read_text(coding, "backslashreplace") for name in ("stdout", "stderr"))
    why = (
        why
        or left_behind(work, threads, files)
        or lines_broken(case, work, out)
        or (result == "ok" and case.after(work))
    )
    if result == "refused" and case.argv is not None:
        words = err.rpartition("fer-run: error: ")[2]
    peak = _status("VmHWM")
    if not why and peak > PEAK:
        why = f"took {peak / GIB:.1f} GiB of memory"
    if not why and ("Traceback" in err or "Exception ignored" in err):
        why = "a traceback on stderr"
    if not why and result == "refused" and case.argv is not None and "fer-run: error: " not in err:
        why = "no message on stderr"
    noise = [line for line in err.splitlines() if not OURS.match(line)]
    os.chdir(folder)
    shutil.rmtree(work)
    told: dict[str, Any] = {
        "index": index,
        "kind": case.kind,
        "result": "failed" if why else result,
        "seconds": round(seconds, 3),
    }
    if why:
        told |= {"why": why, "shown": case.shown, "stderr": err[-3000:]}
    elif result == "refused":
        told["words"] = plain(words, work)
    return told | {"compared": compared, "peak": peak, "noise": noise[:3] if case.argv is not None and not why else []}


def command(case: Case) -> tuple[str, str]:
    """``fer-run`` as the shell starts it, in this process."""
    sys.argv = ["fer-run", *(case.argv or [])]
    timer = threading.Timer(case.stop, os.kill, (os.getpid(), signal.SIGTERM)) if case.stop else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        cli.main()
        code: Any = "no exit"
    except SystemExit as left:
        code = left.code
    except BaseException as error:
        traceback.print_exc()
        return "failed", f"raised {type(error).__name__}: {error}"[:500]
    finally:
        if timer:
            timer.cancel()
            timer.join()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if code in (0, None, 128 + signal.SIGTERM):
        return "ok", ""
    return ("refused", "") if code in (1, 2) else ("failed", f"exit code {code}")


def called(case: Case) -> tuple[str, str, bool, str]:
    """Result and why, whether it was compared with a reference, and the words of a refusal."""
    assert case.call is not None
    try:
        compared = bool(case.call())
    except MienError as error:
        words = str(error)
        return ("refused", "", False, words) if words else ("failed", "an error without a message", False, "")
    except Wrong as error:
        return "failed", f"read wrongly: {error}", True, ""
    except BaseException as error:
        traceback.print_exc()
        return "failed", f"raised {type(error).__name__}: {error}"[:500], False, ""
    return "ok", "", compared, ""


def plain(words: str, work: Path) -> str:
    """The words of a refusal without what differs from file to file, so that alike ones can be counted."""
    words = words.replace(str(work), "").splitlines()[0] if words.strip() else words
    words = re.sub(r"\S*/(in|plain)\S*", "FILE", words)
    return re.sub(r"[0-9]+([.,][0-9]+)*", "N", words)[:110]


def left_behind(work: Path, before: set[threading.Thread], files: set[Path]) -> str:
    until = time.monotonic() + 5
    while (left := _threads() - before) and time.monotonic() < until:
        time.sleep(0.01)
    if left:
        return f"threads left behind: {sorted(thread.name for thread in left)}"
    added = [path for path in work.rglob(".*") if path not in files and path.is_file()]
    hidden = [path.name for path in added if not path.name.startswith((".json", ".csv"))]
    return f"files left behind: {hidden}" if hidden else ""


def lines_broken(case: Case, work: Path, out: str) -> str:
    """Whole JSON lines, and no NaN in them."""
    texts = [path.read_text("utf-8", "surrogateescape") for path in work.glob("out.jsonl")]
    if case.argv is not None and case.kind in ("images", "clips") and "-" in case.argv:
        texts.append("".join(line for line in out.splitlines(True) if line.startswith("{")))
    try:
        for text in texts:
            for line in text.splitlines():
                json.loads(line, parse_constant=float.fromhex)
    except ValueError as error:
        return f"a JSON line that is none: {error}"
    return ""


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name != "tqdm_monitor"}  # one for the process


def _status(name: str) -> int:
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
