"""A source whose pictures are turned or mirrored, for example for a camera that is mounted sideways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from mien.errors import InputError
from mien.sources.base import Source, State
from mien.types import Frame, Image

TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def turned(source: Source, rotate: int, flip: bool) -> Source:
    """``source``, turned clockwise by 0, 90, 180 or 270 degrees and then, with ``flip``, mirrored left to right."""
    return Turned(source, rotate, flip) if rotate or flip else source


def check_turn(rotate: int) -> None:
    """InputError unless ``rotate`` is 0, 90, 180 or 270 degrees."""
    if isinstance(rotate, bool) or rotate not in (0, *TURNS):
        raise InputError(f"rotate is {rotate!r}; use 90, 180 or 270 (degrees, clockwise), or 0")


class Turned(Source):
    """Another source with turned or mirrored pictures. Closing it closes the other one."""

    def __init__(self, source: Source, rotate: int, flip: bool):
        self._source = source
        self._rotate, self._flip = rotate, flip
        self.kind, self.fps = source.kind, source.fps
        self.count, self.paths = source.count, source.paths

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            yield replace(frame, image=self._turn(frame.image))

    def _turn(self, image: Image) -> Image:
        out: np.ndarray = image
        if self._rotate:
            out = cv2.rotate(out, TURNS[self._rotate])
        if self._flip:
            out = cv2.flip(out, 1)
        return np.asarray(out, dtype=np.uint8)

    @property
    def name(self) -> str:
        """The other source's."""
        return self._source.name

    @name.setter
    def name(self, name: str) -> None:
        self._source.name = name

    @property
    def size(self) -> tuple[int, int] | None:  # type: ignore[override]
        """Width and height in px of the turned picture."""
        size = self._source.size
        return (size[1], size[0]) if size and self._rotate in (90, 270) else size

    @property
    def state(self) -> State:  # type: ignore[override]
        """The other source's."""
        return self._source.state

    @property
    def dropped(self) -> int:  # type: ignore[override]
        """The other source's."""
        return self._source.dropped

    @property
    def decoder(self) -> str | None:  # type: ignore[override]
        """The other source's."""
        return self._source.decoder

    def stop(self) -> None:
        self._source.stop()

    def close(self) -> None:
        self._source.close()
