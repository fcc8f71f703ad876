"""Several sources at once: each gives what it gives alone, and none waits for another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from played_streams import row
from scripted_camera import Camera, gray

import mien
from mien import InputError, MienError, Recognizer, SourceError, run_streams
from mien.errors import OutputError
from mien.sources.base import Source
from mien.sources.factory import open_source
from mien.streams import StreamFrame, Streams
from mien.tracking.options import StreamOptions
from mien.types import Frame, Image

MakeClip = Callable[..., Path]


@pytest.fixture(scope="module")
def recognizer(tiny_bundle: Path) -> Recognizer:
    return Recognizer(tiny_bundle, device="cpu", threads=1)


@pytest.fixture
def clips(tmp_path: Path, make_clip: MakeClip) -> dict[str, Path]:
    shapes = {"front": (40, (320, 180)), "back": (25, (256, 160)), "yard": (10, (240, 200))}
    return {name: make_clip(tmp_path / f"{name}.mp4", frames=n, size=size) for name, (n, size) in shapes.items()}


def test_each_source_gives_what_it_gives_alone(recognizer: Recognizer, clips: dict[str, Path]) -> None:
    together: dict[str, list[object]] = {name: [] for name in clips}
    for seen in run_streams(clips, recognizer, options=StreamOptions(baseline=0.2)):
        assert seen.frame.name == seen.source
        assert seen.seconds > 0
        together[seen.source].append(row(seen.frame, seen.faces))
    for name, clip in clips.items():
        with open_source(clip) as source, recognizer.stream(baseline=0.2) as stream:
            alone = [row(frame, faces) for frame, faces in stream.read(source)]
        assert together[name] == alone
        assert any(faces for *_, faces in alone), "no face to compare"


def test_faces_that_wait_share_a_call(
    recognizer: Recognizer, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, run = [], recognizer._model.engine.run

    def slow(batch: Image) -> object:
        sizes.append(len(batch))
        time.sleep(0.03)
        return run(batch)

    monkeypatch.setattr(recognizer._model.engine, "run", slow)
    faces = sum(len(seen.faces) for seen in run_streams(clips, recognizer))
    assert sum(sizes) == faces == 75
    assert max(sizes) > 1
    assert len(sizes) < faces


@pytest.mark.parametrize("hang", ["never sends", "stalls"])
def test_a_source_that_stalls_holds_up_no_other(recognizer: Recognizer, clips: dict[str, Path], hang: str) -> None:
    end = threading.Event()
    camera = Camera([gray(1), *([end] if hang == "stalls" else [None])])
    with run_streams({"door": camera.live(), "front": clips["front"]}, recognizer) as streams:
        seen = {"door": 0, "front": 0}
        for one in streams:
            seen[one.source] += 1
            if seen["front"] == 40 and seen["door"]:
                break
        assert seen == {"door": 1, "front": 40}
    end.set()


def test_one_that_is_lost_comes_back(
    recognizer: Recognizer, clips: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    camera = Camera([gray(1), gray(2)], SourceError("unplugged"), [gray(3)] * 40, pace=0.02)
    seen: dict[str, list[int]] = {"door": [], "front": []}
    with run_streams({"door": camera.live(), "front": clips["front"]}, recognizer) as streams:
        for one in streams:
            seen[one.source].append(int(one.frame.image[0, 0, 0]))
            if seen["door"].count(3) == 5:
                break
    assert seen["door"][0] in (1, 2)
    assert len(seen["front"]) == 40
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(text.startswith("door was lost after") for text in messages)
    assert camera.released == camera.opened - 1


class Breaking(Source):
    """A video that cannot be read after its third frame."""

    kind, name = "video", "yard"

    def __iter__(self) -> Iterator[Frame]:
        for index in range(3):
            yield Frame(gray(index, (64, 64)), index / 25, index, self.name)
        raise SourceError("yard cannot be decoded after frame 3")


def test_one_that_breaks_is_told_once_the_others_have_ended(recognizer: Recognizer, clips: dict[str, Path]) -> None:
    broken = Breaking()
    streams = run_streams({"front": clips["front"], "yard": broken}, recognizer)
    seen: list[str] = []
    with pytest.raises(SourceError, match="1 of 2 sources failed: yard: yard cannot be decoded"):
        seen.extend(one.source for one in streams)
    assert [seen.count(name) for name in ("front", "yard")] == [40, 3]
    assert list(streams.failed) == ["yard"]


def test_an_engine_that_fails_and_a_caller_that_raises_end_all(
    recognizer: Recognizer, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(seen: StreamFrame) -> None:
        raise OutputError("the disk is full")

    before = threading.active_count()
    with run_streams(clips, recognizer) as streams, pytest.raises(OutputError, match="disk is full"):
        streams.run(full)
    monkeypatch.setattr(recognizer._model.engine, "run", lambda _: 1 / 0)
    with pytest.raises(MienError, match=r"failed on frame 0 of (front|back|yard): division"):
        list(run_streams(clips, recognizer))
    assert threading.active_count() == before


def test_a_slow_caller_gets_newer_frames_of_a_camera_not_old_ones(recognizer: Recognizer) -> None:
    camera = Camera([gray(value) for value in range(1, 250)], pace=0.005)
    seen = []
    with run_streams({"door": camera.live()}, recognizer) as streams:
        for one in streams:
            seen.append(int(one.frame.image[0, 0, 0]))
            time.sleep(0.1)
            if len(seen) == 6:
                break
        assert streams.sources["door"].dropped > 30
    assert np.diff(seen).min() >= 1
    assert np.diff(seen[2:]).min() > 5


def test_sources_are_read_once_and_closed(recognizer: Recognizer, clips: dict[str, Path]) -> None:
    before = threading.active_count()
    streams = run_streams(clips, recognizer)
    next(iter(streams))
    with pytest.raises(InputError, match="read already"):
        next(iter(streams))
    assert {source.state for source in streams.sources.values()} == {"ended"}
    assert threading.active_count() == before
    streams.close()


def test_what_cannot_be_read_at_once_is_told_before_anything_is(
    recognizer: Recognizer, clips: dict[str, Path], tmp_path: Path, portrait: Image
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), portrait)
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "Front.avi"
    twin.write_bytes(clips["front"].read_bytes())
    for sources, kind, message in [
        ([], InputError, "is empty"),
        ("0", InputError, "use a list"),
        ([clips["front"], twin], InputError, "two sources have the name 'Front'"),
        ({"a/b": clips["front"]}, InputError, "no slash"),
        ({"..": clips["front"]}, InputError, "cannot be the name"),
        ([clips["front"], tmp_path / "none.mp4"], SourceError, "no file or folder"),
        ([clips["front"], "nothing://at/all"], SourceError, "cannot open nothing://at/all"),
        ([clips["front"], tmp_path / "a.png"], InputError, "a is a picture"),
    ]:
        with pytest.raises(kind, match=message):
            run_streams(sources, recognizer)
    assert mien.run_streams is run_streams
    with pytest.raises(InputError, match="smoothing"):
        Streams(recognizer, {}, StreamOptions(smoothing=-1))
