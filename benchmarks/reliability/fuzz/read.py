"""Films that are read and compared: as they are, damaged, joined, and by a decoder that leaves frames unwritten."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np

from benchmarks.reliability.fuzz.films import JOINED, TIMED, damage, draw_film, edit, write
from benchmarks.reliability.fuzz.reference import check_source, film
from mien.sources import video
from mien.sources.decoders import open_capture

TURN = 2
"""Frames before and behind a change of shape that may have the other one: decoders tell it a little early or late."""
MOVING = (".mp4", ".mkv", ".avi", ".ts")
Call = tuple[str, Callable[[], bool]]


def call(face: np.ndarray, folder: Path, draw: random.Random) -> Call:
    """A film in ``folder``, in words, and what reads and compares it. ``face``: BGR, 96 x 96 px."""
    if draw.random() < 0.1:
        return _joined(face, folder, draw)
    made = draw_film(draw)
    data, how = write(made, face), ""
    if made.suffix in (".mp4", ".mov") and draw.random() < 0.25:
        data, how = edit(data, draw), "edited "
    elif draw.random() < 0.35:
        data, how = damage(data, draw), "damaged "
    path = folder / f"in{made.suffix}"
    path.write_bytes(data)
    timed = made.suffix in TIMED and not how
    return f"{how}{made}", lambda: check_source(path, film(path), times=timed)


def _joined(face: np.ndarray, folder: Path, draw: random.Random) -> Call:
    """Two films one after the other, as broadcasts are: of other sizes, shapes of pixels and fields."""
    films = [replace(draw_film(draw, (draw.choice(JOINED),)), count=draw.choice((8, 20)))]
    other = replace(draw_film(draw, (films[0].suffix,)), codec=films[0].codec)
    films.append(replace(other, interlaced=other.interlaced and other.codec != "mpeg1video"))
    parts = [folder / f"part{i}{one.suffix}" for i, one in enumerate(films)]
    for part, one in zip(parts, films, strict=True):
        part.write_bytes(write(one, face))
    path = folder / f"in{films[0].suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))

    def check() -> bool:
        first = film(parts[0]) or []
        found = [*first, *(film(parts[1]) or [])]
        whole = film(path)  # whose pixels have one shape for all; and some decoders lose a frame where the size changes
        change = range(len(first) - TURN, len(first) + TURN)
        return check_source(path, found if whole and len(whole) == len(found) else None, besides=change)

    return f"joined {films}", check


class Lazy:
    """A capture of OpenCV that says of the frames in ``left`` that it read them, and leaves its picture as it was."""

    def __init__(self, capture: cv2.VideoCapture, left: Collection[int]):
        self._capture, self._left = capture, left
        self._index, self._buffer = -1, np.empty(0, np.uint8)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._capture, name)

    def grab(self) -> bool:
        ok = self._capture.grab()
        self._index += ok
        return bool(ok)

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        ok, image = self._capture.retrieve()
        if not ok:
            return ok, image
        if self._buffer.shape != image.shape:
            self._buffer = np.empty(image.shape, np.uint8)  # what is in it, the allocator knows
        if self._index not in self._left:
            self._buffer[:] = image
        return True, self._buffer.copy()

    def read(self) -> tuple[bool, np.ndarray | None]:
        return self.retrieve() if self.grab() else (False, None)

    def set(self, name: int, value: float) -> bool:
        if name == cv2.CAP_PROP_POS_FRAMES:
            self._index = int(value) - 1
        return bool(self._capture.set(name, value))


def unwritten(face: np.ndarray, folder: Path, draw: random.Random) -> Call:
    """A film that moves, all or some of whose frames are not written; now and then PyAV is not there to help."""
    # Where real pictures stood still before, mien takes a few repetitions for real without a look.
    made = replace(draw_film(draw, MOVING), still=1, count=draw.choice((2, 8, 20)), steps=(1,))
    first = draw.choice((0, 0, draw.randrange(made.count)))
    left = draw.choice((range(first, made.count), range(first, made.count, 2), (first,), ()))
    alone = draw.random() < 0.3
    path = folder / f"in{made.suffix}"
    path.write_bytes(write(made, face))

    def check() -> bool:
        expected = film(path)
        # A look at a frame that is another buffer's first is told by what that buffer holds, so it is drawn anew.
        with (
            mock.patch.object(video, "open_capture", lambda name: Lazy(open_capture(name), left)),
            _without_pyav(alone),
        ):
            return check_source(path, expected)

    return f"frames {list(left)} unwritten{', no PyAV' * alone}: {made}", check


@contextmanager
def _without_pyav(really: bool) -> Iterator[None]:
    hidden = {"av": None, "mien.sources.decoders.pyav": None} if really else {}
    with mock.patch.dict(sys.modules, hidden):
        yield
