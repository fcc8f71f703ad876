"""What a process that runs for weeks must not do: grow, leave threads or files behind, hang, or hide a crash."""

from __future__ import annotations

import csv
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien.cli import parse_args, run
from mien.engines.ort import OrtEngine
from mien.errors import SourceError
from mien.recognizer import Recognizer
from mien.sources.factory import open_source
from mien.types import Detection, Image

MakeClip = Callable[..., Path]
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def fer_run(tiny_bundle: Path) -> Callable[..., int]:
    def call(*args: object) -> int:
        return run(parse_args([*map(str, args), "--model", str(tiny_bundle), "--threads", "1", "--device", "cpu"]))

    return call


def everything(folder: Path) -> list[object]:
    names = {"--json": "a.jsonl", "--csv": "a.csv", "--save": "a.mp4", "--summary": "sum.json"}
    return [word for name, file in names.items() for word in (name, folder / file)]


def private_memory() -> int:
    """KiB of this process that are no file."""
    gc.collect()
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
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.jsonl", "a.csv", "a.mp4", "sum.json", "sum.png"}


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
    assert {path.name for path in out.iterdir()} == {"a.jsonl", "a.csv", "a.mp4", "sum.json", "sum.png"}


@pytest.mark.parametrize("loop", [[], ["--loop"]], ids=["file", "live"])
@pytest.mark.parametrize("which", ["detector", "student"])
@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MemoryError("no memory"), KeyError("x")], ids=repr)
def test_an_engine_call_that_raises_is_told_and_ends_it(
    fer_run: Callable[..., int],
    tmp_path: Path,
    make_clip: MakeClip,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    loop: list[str],
    which: str,
    error: Exception,
) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=30, size=(96, 54), fps=100)
    (tmp_path / "out").mkdir()
    works, lines_file = OrtEngine.run, tmp_path / "out" / "a.jsonl"

    def fail(engine: OrtEngine, batch: Image) -> Any:
        # The student takes crops of 112 px; its first call is the trial with a blank one.
        meant = (batch.shape[1:3] == (112, 112)) == (which == "student")
        if meant and lines_file.exists() and lines_file.read_bytes().count(b"\n") > 4:
            raise error
        return works(engine, batch)

    monkeypatch.setattr(OrtEngine, "run", fail)
    threads = set(threading.enumerate())
    assert fer_run("--source", clip, *loop, *everything(tmp_path / "out")) == 1
    err = capsys.readouterr().err
    assert re.match(r"fer-run: error: onnxruntime/cpu( fp32)? failed on frame \d", err)
    assert str(error) in err
    assert err.count("\n") == 1
    wait_for(lambda: not set(threading.enumerate()) - threads)
    lines = (tmp_path / "out" / "a.jsonl").read_text().split("\n")
    assert all(json.loads(line)["track"] for line in lines[:-1])
    assert len(lines) > 3
    assert lines[-1] == ""
    with open_source(tmp_path / "out" / "a.mp4") as source:
        assert len(list(source)) >= len(lines) - 1
    assert json.loads((tmp_path / "out" / "sum.json").read_text())["frames"] == len(lines) - 1


@pytest.mark.parametrize("error", [cv2.error("bad stream"), MemoryError("no memory"), RuntimeError("codec")], ids=repr)
def test_what_the_decode_thread_raises_comes_out(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    count = []

    def fail(image: Image) -> Image:
        count.append(image)
        if len(count) == 5:
            raise error
        return image

    monkeypatch.setattr("mien.sources.decoders.opencv.as_bgr", fail)
    threads = set(threading.enumerate())
    seen = []
    with (
        open_source(make_clip(tmp_path / "in.mp4", frames=20)) as source,
        pytest.raises((SourceError, type(error)), match=str(error)),
    ):
        seen += list(iter_into(source, seen))
    assert len(seen) == 4
    wait_for(lambda: not set(threading.enumerate()) - threads)


def iter_into(source: Any, seen: list[Any]) -> list[Any]:
    for frame in source:
        seen.append(frame)
    return []


def test_a_decoder_that_fails_under_fer_run_is_told(
    fer_run: Callable[..., int],
    tmp_path: Path,
    make_clip: MakeClip,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(image: Image) -> Image:
        raise cv2.error("bad stream")

    monkeypatch.setattr("mien.sources.decoders.opencv.as_bgr", fail)
    assert fer_run("--source", make_clip(tmp_path / "in.mp4", frames=20), "--json", tmp_path / "a.jsonl") == 2
    err = capsys.readouterr().err
    assert err.startswith("fer-run: error: ")
    assert "bad stream" in err
    assert err.count("\n") == 1


def test_two_streams_of_one_recognizer_survive_the_crash_of_a_third(
    tiny_bundle: Path, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine error in one thread is raised there, and leaves no lock behind for the others."""
    recognizer = Recognizer(tiny_bundle, device="cpu", threads=1)
    works, bad = OrtEngine.run, threading.local()

    def fail(engine: OrtEngine, batch: Image) -> Any:
        if getattr(bad, "now", False):
            raise RuntimeError("out of memory")
        return works(engine, batch)

    monkeypatch.setattr(OrtEngine, "run", fail)
    results: dict[int, Any] = {}

    def work(number: int) -> None:
        with recognizer.stream() as stream:
            try:
                for i in range(12):
                    bad.now = number == 1 and i == 6
                    results[number] = [face.track_id for face in stream.update(portrait, i / 25)]
            except RuntimeError as error:
                results[number] = str(error)
                bad.now = False
                results[3] = [face.track_id for face in stream.update(portrait, 1.0)]  # the stream itself goes on

    workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert not any(worker.is_alive() for worker in workers)
    assert results == {0: [1], 1: "out of memory", 2: [1], 3: [1]}


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
