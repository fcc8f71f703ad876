"""OpenCV as a decoder, with checks, because it may report frames that it did not write."""

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
"""After so many repeated frames of a live source, another decoder is preferred."""
MAX_SKIPPED = 100
"""Up to so many frames are skipped one by one rather than by seeking, which may end at a wrong frame."""

Captures: TypeAlias = "Callable[[], cv2.VideoCapture]"


class Decoded(NamedTuple):
    """A frame, uint8 BGR (H, W, 3), upright and with square pixels; and its time stamp in s, or None."""

    image: Image
    stamp: float | None


class Unwritten(Exception):
    """The decoder reports a frame that it did not write."""


class Doubtful(Exception):
    """A live source repeats frames so often that some may not have been written. Reading may continue."""


class CvDecoder:
    """The frames of a capture. ``again``: opens the same video once more, to check frames that may not have been
    written; None for cameras and pipelines, whose pictures FFmpeg does not convert. ``mirrored``: as for ``Decoder``.

    ``fps``: frames per second, or None if the source claims an impossible value. ``count``: number of frames according
    to the source, or None.
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
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # OpenCV supports turning, but not mirroring
        self._last: np.ndarray | None = None
        self._waiting: list[Decoded] = []
        self._ready: deque[Decoded] = deque()
        fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps = fps if 1 <= fps <= 240 else None
        self.count = int(count) if 0 < count < 2**31 else None

    @property
    def codec(self) -> str:
        """The code of the codec, such as ``av01``; empty if unknown."""
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        letters = code.to_bytes(4, "little").decode("ascii", "replace").strip("\0 ")
        return letters if letters.isprintable() and letters.isascii() else ""

    def read(self) -> Decoded | None:
        """The next frame, or None at the end. Raises Unwritten for a frame that OpenCV did not write, and once Doubtful
        if there may be such frames."""
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

    def seek(self, stamp: float) -> bool:
        """Go on with the frames from about ``stamp`` s on. False, and nothing changes, if this is not FFmpeg, or if it
        cannot."""
        if self._again is None or self._live or not self._capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * stamp):
            return False
        self._ready.clear()
        self._waiting.clear()
        self._still = Standstill(self._live)
        self._read = max(1, int(self._capture.get(cv2.CAP_PROP_POS_FRAMES)))
        return True

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
        """Whether to wait for the next frame, because the newest alone does not show whether it was written."""
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
        """Whether the newest frame, which equals the one before, was really written: checked with another capture,
        whose buffer is new."""
        if not can_fill():
            return self._still.run < self._read - 1  # the picture changed before, so the decoder does write it
        return not all(self._filled_again(fill, self._read - 1, self._last) for fill in FILLS)

    def _filled_again(self, fill: int, index: int, like: np.ndarray | None = None) -> bool | None:
        """Whether another capture leaves the frame at ``index`` unwritten; None if that cannot be found out."""
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
        """How to correct pictures: their pixel aspect, the angle to turn them, and whether to mirror them."""
        get = self._capture.get
        aspect = pixel_aspect(get(cv2.CAP_PROP_SAR_NUM), get(cv2.CAP_PROP_SAR_DEN), self._shown)
        if self._mirrored is not None:
            return aspect, check_turn(self._mirrored, self._shown), True
        turn = check_turn(get(cv2.CAP_PROP_ORIENTATION_META), self._shown)
        # OpenCV has turned the picture already, and its pixels with it.
        return 1 / aspect if turn % 180 and get(cv2.CAP_PROP_ORIENTATION_AUTO) else aspect, 0, False
