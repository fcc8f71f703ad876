"""What a process that runs for weeks must not do: grow, leave threads or files behind, or hang when it is to end."""

from __future__ import annotations

import csv
import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from run_outputs import WRITTEN, everything
from waiting import wait_for

from mien.recognizer import Recognizer
from mien.sources.factory import open_source
from mien.types import Detection, Image

MakeClip = Callable[..., Path]
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def private_memory() -> int:
    """KiB of this process that are no file."""
    gc.collect()
    # What was freed but not given back to the system comes and goes by megabytes.
    with suppress(AttributeError):  # glibc has it, others do not
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])


def files() -> list[str]:
    found = []
    for item in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(os.readlink(item))
    return sorted(found)


@linux
@pytest.mark.parametrize("loop", [[], ["--loop"]], ids=["file", "live"])
def test_many_runs_leave_nothing(
    fer_run: Callable[..., int],
    tmp_path: Path,
    make_clip: MakeClip,
    loop: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=8, size=(96, 54), fps=100)
    (tmp_path / "out").mkdir()
    args = ["--source", clip, *loop, "--max-frames", 6, "--serve", "127.0.0.1:0", *everything(tmp_path / "out")]

    def runs(count: int) -> int:
        for _ in range(count):
            assert fer_run(*args) == 0
        capsys.readouterr()
        return private_memory()

    runs(4)  # libraries keep what they need once
    threads, opened = set(threading.enumerate()), files()
    memory = [runs(0)]
    # Memory that comes and goes settles; what each run leaves does not. A model that stayed would be megabytes.
    while len(memory) < 8 and (len(memory) < 2 or memory[-1] - memory[-2] > 6 * 20):
        memory.append(runs(6))
    assert len(memory) < 8, f"grows by more than 20 KiB a run: {memory}"
    wait_for(lambda: not set(threading.enumerate()) - threads)
    assert files() == opened
    assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN


@linux
def test_a_stream_forgets_who_has_left(tiny_bundle: Path, portrait: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = Recognizer(tiny_bundle, device="cpu", threads=1)
    random = np.random.default_rng(0)

    def crowd(image: Image) -> list[Detection]:
        corners = random.uniform(0, 400, (4, 2)).astype(np.float32)
        return [Detection(np.concatenate([corner, corner + 60]), None, 0.9) for corner in corners]

    monkeypatch.setattr(recognizer._detector, "detect", crowd)
    monkeypatch.setattr(recognizer._detector, "detect_near", lambda image, boxes, angles: crowd(image))
    with recognizer.stream(baseline=1.0) as stream:
        known, latest = [], 0
        for i in range(250):
            faces = stream.update(portrait, i / 25)
            latest = max(latest, *(face.track_id or 0 for face in faces))
            known.append((len(stream._states), len(stream._tracker.tracks), len(stream.hidden)))
    assert latest > 200
    assert max(max(counts) for counts in known) < 80
    assert max(map(len, stream._crops)) <= 4


@linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_ends_a_live_run_with_all_it_has(
    tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip, number: signal.Signals
) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=25, size=(96, 54))
    out = tmp_path / "out"
    out.mkdir()
    args = ["--source", clip, "--loop", "--serve", "0", *everything(out), "--model", tiny_bundle, "--threads", 1]
    command = [sys.executable, "-c", "from mien.cli import main; main()", *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        url = process.stderr.readline().split()[-1]
        lines = out / "a.jsonl"
        wait_for(lambda: lines.exists() and lines.read_text().count("\n") > 10, 30)
        viewer = urllib.request.urlopen(f"{url}stream", timeout=10)  # who stays does not keep it from ending
        assert viewer.read(1000)
        process.send_signal(number)
        began = time.monotonic()
        told, errors = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
        viewer.close()
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors) == (0, "")
    frames = int(told.split()[0])
    assert [json.loads(line)["frame"] for line in lines.read_text().split("\n")[:-1]] == list(range(frames))
    with (out / "a.csv").open(newline="") as file:
        assert [int(row["frame"]) for row in csv.DictReader(file) if row["arousal"]] == list(range(frames))
    with open_source(out / "a.mp4") as source:
        assert len(list(source)) >= frames  # in real time: frames that were dropped are filled up
    assert json.loads((out / "sum.json").read_text())["frames"] == frames
    assert {path.name for path in out.iterdir()} == WRITTEN
