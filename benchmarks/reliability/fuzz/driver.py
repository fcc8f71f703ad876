"""Thousands of broken inputs: no crash, no hang, no traceback, no more than 3 GiB of memory.

    python -m benchmarks.reliability.fuzz --count 10000 --seed 0
    python -m benchmarks.reliability.fuzz --seed 0 --only 4711       # one input again, with all that it prints

Eight kinds in equal parts. Spoiled picture files, spoiled video files, frames and other arguments of the Python
interface, and command lines must do no harm. Stills of every format and orientation, films in every container, and
films of which a decoder left frames unwritten must be read as a reference reads them (Pillow, PyAV), or be refused; so
must files of strange names. All run in locales and encodings of output that change every 250 inputs.

Each input is made from the seed and its number alone. They run in worker processes, many in each; one that dies,
or takes longer than 30 s for an input, is a failure and gets a successor. Inputs are ``ok`` (exit code 0), ``refused``
with a message (a MienError, or exit code 1 or 2), or failures: also a traceback, a thread or hidden file left behind,
a warning of numpy's, a broken JSON line, a picture that was read wrongly. Damaged files are compared only where the
reference reads them to the end without a complaint. For Linux, with Pillow and PyAV. Writes
``benchmarks/results/fuzz.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.common import add_model, add_out, command_parser, write_report
from benchmarks.reliability.fuzz.cases import KINDS
from benchmarks.reliability.fuzz.names import setting, write_locale
from benchmarks.reliability.fuzz.report import summary, table
from benchmarks.reliability.fuzz.spoil import write_base

WORKER = [sys.executable, "-m", "benchmarks.reliability.fuzz.worker"]
STOPPED = "clips", "command lines"
"""Kinds that are sent SIGTERM while they run."""
PATIENCE = 30.0
"""Seconds that an input may take."""
SLICE, PAUSE = 1.0, 2.0
"""Seconds of one wait for an answer, and by how much it may be late. Later, and somebody had stopped this process: what
ran meanwhile is run again, as its time says nothing."""
LIFE = 400
"""Inputs of one worker process."""
HIDDEN = ("DISPLAY", "WAYLAND_DISPLAY", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONUTF8", "PYTHONIOENCODING")
"""What workers do not get to see of the environment."""


class Worker:
    """A process that runs inputs in ``folder``. ``ask`` gives its verdict, or what became of it."""

    def __init__(self, folder: Path, args: argparse.Namespace, base: Path, locale: dict[str, str]):
        self._folder = folder
        folder.mkdir()
        quiet = {name: value for name, value in os.environ.items() if name not in HIDDEN}
        own = {"HOME": str(folder), "MIEN_CACHE": str(base / "cache"), "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
        command = [*WORKER, str(folder), "--base", str(base)]
        self._process = subprocess.Popen(
            [*command, "--seed", str(args.seed), "--model", args.model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if args.only is not None else subprocess.DEVNULL,
            env={**quiet, **own, "LOCPATH": str(base / "locale"), **locale},
            bufsize=0,
        )

    def ask(self, index: int, patience: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{index}\n".encode())
        told, waited, paused = b"", 0.0, 0.0
        while not told.endswith(b"\n"):
            start = time.monotonic()
            ready = select.select([self._process.stdout], [], [], SLICE)[0]
            took = time.monotonic() - start
            paused += (
                took if took > SLICE + PAUSE else 0.0
            )  # this process slept too long: both were stopped, or starved
            waited += min(took, SLICE)
            if not ready and waited >= patience:
                return self._dead(index, f"hangs: no end after {patience:.0f} s")
            if not ready:
                continue
            part = self._process.stdout.read(65536)
            if not part:
                code = self._process.wait()
                made = self._dead(index, f"crashes: its process ended with {code}")
                # A stop while something still loads ends fer-run's process at once, and with it the worker's.
                stopped = code == 128 + signal.SIGTERM and made["kind"] in STOPPED
                return made | ({"result": "ok", "why": ""} if stopped else {})
            told += part
        answer: dict[str, Any] = json.loads(told)
        answer["paused"] = round(paused, 1)
        if answer["seconds"] > PATIENCE and not paused:
            answer |= {"result": "failed", "why": f"hangs: took {answer['seconds']:.0f} s"}
        return answer

    def _dead(self, index: int, why: str) -> dict[str, Any]:
        self._process.kill()
        self._process.wait()
        err = self._folder / "stderr"
        text = err.read_text("utf-8", "backslashreplace")[-3000:] if err.exists() else ""
        kind = KINDS[index % len(KINDS)]
        return {"index": index, "kind": kind, "result": "failed", "why": why, "stderr": text, "seconds": 0.0, "peak": 0}

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """Ends it. What it made is in the temporary folder, which goes away later."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def main() -> None:
    parser = command_parser("reliability.fuzz", __doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="INDEX", help="run this input alone, and print what it did")
    add_model(parser)
    add_out(parser, "fuzz.json")
    args = parser.parse_args()
    args.model = str(Path(args.model).absolute()) if Path(args.model).is_dir() else args.model
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_base(folder / "base")
        write_locale(folder / "base" / "locale")
        if args.only is not None:
            told = list(drive([args.only], folder / "only", args, folder / "base"))
            print(json.dumps(told[0], indent=2, ensure_ascii=False))
            raise SystemExit(told[0]["result"] == "failed")
        start = time.monotonic()
        answers = everything(args, folder)
    command = f"{parser.prog} --count {args.count} --seed {args.seed} --workers {args.workers}"
    report = summary(answers, command, time.monotonic() - start)
    write_report(args.out, report)
    print(table(report))
    raise SystemExit(bool(report["failures"]))


def everything(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    with tqdm(total=args.count, unit=" inputs", disable=None) as bar, ThreadPoolExecutor(args.workers) as pool:

        def work(number: int) -> None:
            indices = range(number, args.count, args.workers)
            for answer in drive(indices, folder / f"worker{number}", args, folder / "base"):
                answers.append(answer)
                if answer["result"] == "failed":
                    bar.write(f"{answer['index']} ({answer['kind']}): {answer['why']}")
                bar.update()

        list(pool.map(work, range(args.workers)))
    return sorted(answers, key=lambda answer: int(answer["index"]))


def drive(indices: Sequence[int], folder: Path, args: argparse.Namespace, base: Path) -> Iterator[dict[str, Any]]:
    """The verdicts on ``indices``, in their order."""
    folder.mkdir()
    worker: Worker | None = None
    locale: dict[str, str] = {}
    for turn, index in enumerate(indices):
        if worker is None or not worker.alive or turn % LIFE == 0 or setting(args.seed, index) != locale:
            if worker:
                worker.close()
            locale = setting(args.seed, index)
            worker = Worker(folder / str(index), args, base, locale)
            first = True
        answer = worker.ask(index, PATIENCE + 30 * first)  # the first waits for the imports, too
        again = 0
        while answer.get("paused") and answer["result"] != "failed" and again < 5:
            answer, again = worker.ask(index, PATIENCE), again + 1
        yield answer | {"again": again}
        first = False
    if worker:
        worker.close()


if __name__ == "__main__":
    main()
