"""A crash of an engine or a decoder is told, ends what it must, and no more."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from run_outputs import everything
from tqdm import tqdm
from waiting import wait_for

from mien.engines.ort import OrtEngine
from mien.errors import SourceError
from mien.recognizer import Recognizer
from mien.sources.factory import open_source
from mien.types import Image

MakeClip = Callable[..., Path]


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
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # its thread outlives the first bar of a process
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
    # A line is a face, and a frame may have more than one.
    read = len({json.loads(line)["frame"] for line in lines[:-1]})
    with open_source(tmp_path / "out" / "a.mp4") as source:
        assert len(list(source)) >= read
    assert json.loads((tmp_path / "out" / "sum.json").read_text())["frames"] == read


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
