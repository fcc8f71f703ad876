"""Stream.read: two frames at a time, with the results of update."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mien import InputError, MienError, Recognizer
from mien.types import Face, Frame, Image
from mien.vision.expression import Prediction


@pytest.fixture(scope="module")
def recognizer(tiny_bundle: Path) -> Recognizer:
    return Recognizer(tiny_bundle, device="cpu", threads=1)


@pytest.fixture(scope="module")
def frames(portrait: Image) -> list[Frame]:
    """A face that moves, is away for half a second, and has company for a while."""
    head = np.ascontiguousarray(portrait[20:200, 140:300])
    made = []
    for i in range(40):
        image = np.full((360, 640, 3), 90, np.uint8)
        if not 15 <= i < 27:
            image[90:270, 40 + 5 * i : 200 + 5 * i] = head
        if i > 8:
            image[150:330, 440:600] = head[:, ::-1]
        made.append(Frame(image, i / 25, i, "walk"))
    return made


def values(faces: list[Face]) -> list[tuple[object, ...]]:
    return [
        (face.track_id, face.box.tolist(), face.expression, face.affect, face.embedding.tolist(), face.score)
        for face in faces
    ]


def test_read_tells_what_update_tells(recognizer: Recognizer, frames: list[Frame]) -> None:
    one, other = recognizer.stream(baseline=0.3), recognizer.stream(baseline=0.3)
    counts = set()
    for expected, (frame, faces) in zip(frames, one.read(iter(frames)), strict=True):
        assert frame is expected
        assert values(faces) == values(other.update(frame.image, frame.time))
        assert values(one.hidden) == values(other.hidden)
        assert set(one.timings) == {"detect", "crop", "engine", "smooth"}
        counts.add((len(faces), len(one.hidden)))
    assert {(1, 0), (2, 0), (1, 1)} <= counts, "the clip did not show what it should"


def test_the_next_frame_is_looked_at_while_the_engine_reads(
    recognizer: Recognizer, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, predict = threading.Event(), recognizer._model.predict

    def slow(crops: Image) -> list[Prediction]:
        assert given.wait(10), "the engine was waited for before the next frame was taken"
        return predict(crops)

    def source() -> Iterator[Frame]:
        yield frames[0]
        given.set()
        yield frames[1]

    monkeypatch.setattr(recognizer._model, "predict", slow)
    assert [frame.index for frame, _ in recognizer.stream().read(source())] == [0, 1]


@pytest.mark.parametrize("kind", ["source", "frame"])
def test_what_goes_wrong_comes_after_the_frames_before(recognizer: Recognizer, frames: list[Frame], kind: str) -> None:
    def source() -> Iterator[Frame]:
        yield from frames[:2]
        if kind == "source":
            raise InputError("no more")
        yield Frame(np.zeros(3, np.uint8), 2 / 25, 2, "bad")

    reading = recognizer.stream().read(source())
    assert [(frame.index, len(faces)) for frame, faces in (next(reading), next(reading))] == [(0, 1), (1, 1)]
    with pytest.raises(InputError, match="no more" if kind == "source" else "shape"):
        next(reading)


def test_an_engine_that_fails_names_the_frame(
    recognizer: Recognizer, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, run = [0], recognizer._model.engine.run

    def broken(batch: Image) -> object:
        calls[0] += 1
        if calls[0] == 3:
            raise RuntimeError("out of memory")
        return run(batch)

    monkeypatch.setattr(recognizer._model.engine, "run", broken)
    reading = recognizer.stream().read(frames)
    assert [frame.index for frame, _ in (next(reading), next(reading))] == [0, 1]
    with pytest.raises(MienError, match="failed on frame 2 of walk: out of memory"):
        next(reading)


def test_leaving_early_leaves_no_thread(recognizer: Recognizer, frames: list[Frame]) -> None:
    before = threading.active_count()
    reading = recognizer.stream().read(frames)
    next(reading)
    assert threading.active_count() > before
    del reading
    assert threading.active_count() == before
    assert list(recognizer.stream().read([])) == []
