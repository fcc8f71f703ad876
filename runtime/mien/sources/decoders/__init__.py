"""Frames of videos and streams: from OpenCV as long as it gives them, else from PyAV, and never unwritten ones."""

from __future__ import annotations

import logging
from typing import Protocol

import cv2

from mien.errors import SourceError
from mien.paths import check_plain
from mien.sources.decoders.opencv import Captures, CvDecoder, Decoded, Doubtful, Unwritten

TIMEOUT_SECONDS = 10.0
"""How long, in s, a network stream may take to open, or to give the next frame."""
MAX_MISSES = 3
"""First frames of a stream that may fail before it is taken for one that cannot be decoded."""
REMEDY = 'pip install "mien[video]"'

log = logging.getLogger(__name__)


class _Decoder(Protocol):
    name: str
    fps: float | None
    count: int | None

    def read(self) -> Decoded | None: ...
    def release(self) -> None: ...


class Decoder:
    """Reads ``capture``, and goes over to PyAV where OpenCV gives no frame, or one that it did not write.

    ``shown``: what the source is called in messages. ``again`` opens the same once more. ``address``: the file or URL
    that was opened; without one, as for cameras, there is no second decoder. ``live``: the stream goes on while it is
    opened anew. ``mirrored``: the turn, in degrees, of pictures that are to be mirrored before; None for all others.
    ``changing``: its frames may change their size or the shape of their pixels, so PyAV comes first, where it is there.
    ``name``, ``fps`` and ``count`` are those of the decoder that reads now.
    """

    def __init__(
        self,
        capture: cv2.VideoCapture,
        shown: str,
        *,
        again: Captures | None = None,
        address: str | None = None,
        live: bool = False,
        mirrored: float | None = None,
        changing: bool = False,
    ):
        self._shown, self._address, self._live, self._mirrored = shown, address, live, mirrored
        self._read = self._missed = 0
        self._now: _Decoder
        if address is None:
            self._now = CvDecoder(capture, shown)
        elif not capture.isOpened():
            self._now = self._second(f"OpenCV {cv2.__version__} cannot open it")
        elif not (changing and self._try_over(f"OpenCV {cv2.__version__} does not see it change its shape")):
            converts = capture.getBackendName() == "FFMPEG"
            self._now = CvDecoder(capture, shown, again if converts else None, live=live, mirrored=mirrored)

    @property
    def name(self) -> str:
        return self._now.name

    @property
    def fps(self) -> float | None:
        return self._now.fps

    @property
    def count(self) -> int | None:
        return self._now.count

    def read(self) -> Decoded | None:
        """The next frame, or None at the end.

        Raises:
            SourceError: OpenCV cannot decode it, and PyAV is not installed, or cannot either.
        """
        try:
            decoded = self._now.read()
        except Unwritten:
            what = "says that it read a frame and wrote none, as it does with interlaced video"
            decoded = self._go_over(f"OpenCV {cv2.__version__} {what}")
        except Doubtful:
            before = self._now
            if not self._try_over(f"OpenCV {cv2.__version__} repeats many frames"):
                return self.read()
            before.release()
            decoded = self._now.read()
        if decoded is None and not self._read and self._address and isinstance(self._now, CvDecoder):
            self._missed += 1
            if not self._live or self._missed == MAX_MISSES:
                codec = f"its codec ({self._now.codec})" if self._now.codec else "it"
                why = f"it gives no frame: OpenCV {cv2.__version__} cannot decode {codec}, or it is damaged"
                decoded = self._go_over(why)
        self._read += decoded is not None
        return decoded

    def release(self) -> None:
        self._now.release()

    def _go_over(self, why: str) -> Decoded | None:
        self._now.release()
        self._now = self._second(why)
        for _ in range(0 if self._live else self._read):
            self._now.read()
        return self._now.read()

    def _try_over(self, why: str) -> bool:
        try:
            decoder = self._second(why)
        except SourceError:
            return False
        self._now = decoder
        return True

    def _second(self, why: str) -> _Decoder:
        assert self._address is not None
        try:
            from mien.sources.decoders.pyav import AvDecoder
        except ImportError as error:
            raise SourceError(f"{self._shown}: {why}; PyAV may read it: {REMEDY}") from error
        try:
            decoder = AvDecoder(self._address, self._shown, TIMEOUT_SECONDS, self._mirrored)
        except SourceError as error:
            raise SourceError(f"{self._shown}: {why}; {error}") from error
        log.info("%s: %s; PyAV reads it", self._shown, why)
        return decoder


def open_capture(name: str) -> cv2.VideoCapture:
    """FFmpeg where there is one: other backends read a % in the name as the pattern of an image sequence. InputError
    for a name that is no UTF-8."""
    check_plain(name, "the address")
    if not cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
        return cv2.VideoCapture(name)
    wait = int(TIMEOUT_SECONDS * 1000)
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, wait, cv2.CAP_PROP_READ_TIMEOUT_MSEC, wait]
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG, timeouts)
