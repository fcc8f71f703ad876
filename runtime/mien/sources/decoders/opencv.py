"""OpenCV as a decoder that is not taken at its word."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np

from mien.errors import SourceError
from mien.sources.decoders.geometry import check_turn, pixel_aspect, upright
from mien.sources.decoders.unwritten import FILLS, Standstill, can_fill, filled_memory, is_filled
from mien.sources.pixels import as_bgr
from mien.types import Image

MAX_REPEATED = 25
"""Repeated frames of a live source from which on another decoder is preferred."""
MAX_SKIPPED = 100
"""Frames that are passed by one after the other rather than by a leap, which may land beside the right one."""

Captures: TypeAlias = "Callable[[], cv2.VideoCapture]"


class Decoded(NamedTuple):
    """A frame, uint8 BGR (H, W, 3), upright and with square pixels; its stamp in s, or None."""

    image: Image
    stamp: float | None


class Unwritten(Exception):
    """The decoder says that it read a frame, and wrote none."""


class Doubtful(Exception):
    """A live source repeats frames so often that some may not have been written. Reading may go on."""


class CvDecoder:
    """The frames of a capture. ``again`` opens the same video once more, for a second look at frames that may not have
    been written; None for cameras and pipelines, whose pictures FFmpeg does not convert. ``mirrored``: as of
    ``Decoder``.

    ``fps``: frames per second, or None where what the source says cannot be. ``count``: frames announced, or None.
    """

    name = "OpenCV"

    def __init__(
        self,
        capture: cv2.VideoCapture,
        shown: str,
        again: Captures | None = None,
        *,
        live: bool = False,
        mirrored: float | None = None,
    ):
        self._capture, self._shown, self._again, self._live = capture, shown, again, live
        self._still = Standstill(live)
        self._read = 0
        self._mirrored = mirrored
        self._layout: tuple[float, int, bool] | None = None
        if mirrored is not None:
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # it knows of turns alone
        self._last: np.ndarray | None = None
        self._waiting: list[Decoded] = []
        self._ready: deque[Decoded] = deque()
        fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps = fps if 1 <= fps <= 240 else None
        self.count = int(count) if 0 < count < 2**31 else None

    @property
    def codec(self) -> str:
        """Its four letters, such as ``av01``, or nothing."""
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        letters = code.to_bytes(4, "little").decode("ascii", "replace").strip("\0 ")
        return letters if letters.isprintable() and letters.isascii() else ""

    def read(self) -> Decoded | None:
        """The next frame, or None at the end. Unwritten where there is one whose pixels OpenCV did not write, Doubtful
        once where there may be."""
        while not self._ready:
            decoded = self._next()
            if decoded is None and not self._waiting:
                return None
            if decoded:
                self._waiting.append(decoded)
            elif self._still.run and not self._is_real():
                raise Unwritten
            if decoded is None or not self._unsure():
                self._ready.extend(self._waiting)
                self._waiting.clear()
        return self._ready.popleft()

    def release(self) -> None:
        self._capture.release()

    def _next(self) -> Decoded | None:
        ok, found = self._first() if self._again and not self._read else self._capture.read()
        if not ok or found is None:
            return None
        image = np.asarray(found)
        self._read += 1
        if self._again:
            self._last = image
            if self._still.update(image):
                if not self._is_real():
                    raise Unwritten
                self._still.trust()
            if self._live and self._still.repeated == MAX_REPEATED:
                self._still.repeated += 1
                raise Doubtful
        return self._decoded(image)

    def _unsure(self) -> bool:
        """Whether the newest frame is worth waiting for the next: by itself it does not tell that it was written."""
        if self._again is None or self._live:
            return False
        return self._still.doubtful or (self._read == 1 and not can_fill())

    def _first(self) -> tuple[bool, np.ndarray]:
        if not self._capture.grab():
            return False, np.empty(0)
        with filled_memory(FILLS[0]):
            ok, found = self._capture.retrieve()
        image = np.asarray(found)
        if ok and can_fill() and is_filled(image, FILLS[0]) and self._filled_again(FILLS[1], 0) is not False:
            raise Unwritten
        return ok, image

    def _is_real(self) -> bool:
        """Whether the newest frame, which is like the one before, was written: another capture, whose buffer is new,
        tells."""
        if not can_fill():
            return self._still.run < self._read - 1  # the picture changed once, so somebody writes it
        return not all(self._filled_again(fill, self._read - 1, self._last) for fill in FILLS)

    def _filled_again(self, fill: int, index: int, like: np.ndarray | None = None) -> bool | None:
        """Whether another capture leaves the frame at ``index`` unwritten; None where it cannot be had."""
        filled: bool | None = None
        for leap in (True, False) if index > MAX_SKIPPED else (False,):
            image = self._frame(fill, index, leap)
            if image is not None:
                filled = is_filled(image, fill)
                if filled or like is None or np.array_equal(image, like):
                    break
        return filled

    def _frame(self, fill: int, index: int, leap: bool) -> np.ndarray | None:
        assert self._again
        try:
            capture = self._again()
        except SourceError:
            return None
        if self._mirrored is not None:
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        try:
            if leap:
                capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            for _ in range(1 if leap else index + 1):
                if not capture.grab():
                    return None
            with filled_memory(fill):
                ok, image = capture.retrieve()
            return np.asarray(image) if ok and image is not None else None
        finally:
            capture.release()

    def _decoded(self, image: np.ndarray) -> Decoded:
        stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._layout is None:
            self._layout = self._find_layout()
        return Decoded(upright(as_bgr(image), *self._layout), stamp)

    def _find_layout(self) -> tuple[float, int, bool]:
        """What is to be done with the picture: the shape of its pixels, the turn, and whether to mirror it."""
        get = self._capture.get
        aspect = pixel_aspect(get(cv2.CAP_PROP_SAR_NUM), get(cv2.CAP_PROP_SAR_DEN), self._shown)
        if self._mirrored is not None:
            return aspect, check_turn(self._mirrored, self._shown), True
        turn = check_turn(get(cv2.CAP_PROP_ORIENTATION_META), self._shown)
        # OpenCV has turned the picture already, and its pixels with it.
        return 1 / aspect if turn % 180 and get(cv2.CAP_PROP_ORIENTATION_AUTO) else aspect, 0, False
