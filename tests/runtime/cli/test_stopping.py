"""Ctrl-C at any moment: heeded at once while nothing is read yet, and then no earlier result is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from played_videos import played

MakeClip = Callable[..., Path]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
HANG = "import sys, time, mien.{0} as m; m.{1} = lambda *_, **__: print('hangs', flush=True) or time.sleep(60); "


@contextmanager
def fer_run(bundle: Path, *args: object, patch: str = "", stdin: int | None = None) -> Iterator[subprocess.Popen[str]]:
    code = f"{patch}from mien.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, args), "--model", str(bundle), "--threads", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[float, str]:
    """Seconds until it ended, and what it said on stderr."""
    start = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    return time.monotonic() - start, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "where", [("cli.fer_run", "open_source"), ("cli.fer_run", "Recognizer"), ("recognizer", "select_backend")]
)
def test_a_stop_before_the_first_frame_costs_no_earlier_result(
    tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip, where: tuple[str, str], number: int
) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    earlier = [tmp_path / name for name in ("o.jsonl", "o.csv", "s.json", "s.png", "v.mp4")]
    for path in earlier:
        path.write_text("of worth")
    args = (clip, "--json", earlier[0], "--csv", earlier[1], "--summary", earlier[2], "--save", earlier[4])
    with fer_run(tiny_bundle, *args, patch=HANG.format(*where)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        seconds, err = stop(process, number)
    assert seconds < 3
    assert process.returncode == 128 + number
    assert err == "fer-run: stopped before the first frame; nothing was written\n"
    assert [path.read_text() for path in earlier] == ["of worth"] * 5


@pytest.mark.parametrize(
    "arrives",
    [
        "signal.pthread_kill(threading.get_ident(), signal.SIGINT)",  # at another thread than the one that waits
        "signal.getsignal(signal.SIGINT).signal = signal.SIGINT",  # and what the handler raised was swallowed
    ],
)
def test_a_stop_that_does_not_reach_the_waiting_thread(
    tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip, arrives: str
) -> None:
    patch = (
        "import signal, threading, time, mien.recognizer as m\n"
        "def hang(*a, **k):\n"
        "    time.sleep(0.2)\n"  # the main thread waits by then
        f"    {arrives}\n"
        "    print('hangs', flush=True)\n"
        "    time.sleep(60)\n"
        "m.select_backend = hang\n"
    )
    with fer_run(tiny_bundle, make_clip(tmp_path / "a.mp4"), patch=patch) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "fer-run: stopped before the first frame; nothing was written\n"


def test_a_stop_while_a_server_says_nothing(tiny_bundle: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(30)
        with fer_run(tiny_bundle, f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4") as process:
            connection, _ = server.accept()
            time.sleep(0.2)
            seconds, err = stop(process)
            connection.close()
    assert seconds < 3
    assert process.returncode == 130, err
    assert err == "fer-run: stopped before the first frame; nothing was written\n"


def test_a_stop_while_standard_input_says_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    patch = f"import tempfile; tempfile.tempdir = {str(folder)!r}; "
    with fer_run(tiny_bundle, "-", patch=patch, stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while not list(folder.glob("mien-*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        seconds, _ = stop(process)
    assert seconds < 3
    assert process.returncode == 130
    assert not list(folder.iterdir())


def test_a_stop_between_two_sources_keeps_what_was_read(tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip) -> None:
    clips = [make_clip(tmp_path / name, frames=count) for name, count in (("a.mp4", 3), ("b.mp4", 3000))]
    out = tmp_path / "o.jsonl"
    with fer_run(tiny_bundle, *clips, clips[0], "--json", out) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (out.exists() and out.read_text().count("\n") > 5):
            time.sleep(0.02)
        _, err = stop(process)
    assert process.returncode == 130
    assert err == ""
    assert out.read_text().endswith("\n")
    assert 5 < out.read_text().count("\n") < 3000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_several_are_read_leaves_every_file_whole(
    tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip, number: int
) -> None:
    sources = [f"--source={name}={make_clip(tmp_path / f'{name}.avi', frames=50)}" for name in ("front", "back")]
    out, table = tmp_path / "out", tmp_path / "o.csv"
    files = ("--json", tmp_path / "o.jsonl", "--csv", table, "--save", out, "--summary", out)
    with fer_run(tiny_bundle, *sources, "--loop", *files) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (table.exists() and table.read_text().count("\n") > 30):
            time.sleep(0.02)
        seconds, err = stop(process, number)
    assert seconds < 5
    assert (process.returncode, err) == (0, "")
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert len(table.read_text().splitlines()) == len(rows) + 1
    for name in ("front", "back"):
        times = played(out / f"{name}.mp4")
        assert len(times) == len({row["frame"] for row in rows if row["source"] == name}) > 5
        assert json.loads((out / f"{name}.json").read_text())["frames"] == len(times)
        assert (out / f"{name}.png").stat().st_size > 1000


@pytest.mark.parametrize("module", ["mien.terminal", "tqdm", "cv2", "mien.cli.options", "onnxruntime"])
def test_a_stop_while_the_program_is_still_imported_is_no_traceback(
    tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip, module: str
) -> None:
    patch = (
        "import sys, os, signal\n"
        # Where the tests run in the background of a shell, SIGINT is ignored, and processes inherit that.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r} and self in sys.meta_path:\n"
        "            sys.meta_path.remove(self)\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    with fer_run(tiny_bundle, make_clip(tmp_path / "a.mp4"), "--json", tmp_path / "o", patch=patch) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err in ("", "fer-run: stopped before the first frame; nothing was written\n")
    assert not (tmp_path / "o").exists()


def test_a_stop_that_a_library_swallows_is_heeded(tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip) -> None:
    patch = (
        "import os, signal, mien.cli.fer_run as m; real = m.Recognizer\n"
        "def swallow(*a, **k):\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    except BaseException: pass\n"
        "    return real(*a, **k)\n"
        "m.Recognizer = swallow\n"
    )
    out = tmp_path / "o.jsonl"
    out.write_text("of worth")
    with fer_run(tiny_bundle, make_clip(tmp_path / "a.mp4"), "--json", out, patch=patch) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "fer-run: stopped before the first frame; nothing was written\n"
    assert out.read_text() == "of worth"
