"""Frames of videos and streams: from OpenCV while it decodes them correctly, otherwise from PyAV."""

from __future__ import annotations

import logging
from typing import Protocol

import cv2

from mien.errors import SourceError
from mien.paths import check_plain
from mien.sources.decoders.opencv import Captures, CvDecoder, Decoded, Doubtful, Unwritten

TIMEOUT_SECONDS = 10.0
"""How long a network stream may take to open, or to deliver the next frame."""
MAX_MISSES = 3
"""If so many first frames of a stream fail, it counts as undecodable."""
REMEDY = 'pip install "mien[video]"'

log = logging.getLogger(__name__)


class _Decoder(Protocol):
    name: str
    fps: float | None
    count: int | None

    def read(self) -> Decoded | None: ...
    def release(self) -> None: ...


class Decoder:
    """Reads ``capture``, and switches to PyAV if OpenCV returns no frame, or one that it did not write.

    ``shown``: name of the source in messages. ``again``: opens the same source once more. ``address``: the file or URL
    that was opened; without one, as for cameras, there is no second decoder. ``live``: the stream continues while it is
    reopened. ``mirrored``: for pictures that must be mirrored, the angle in degrees by which they are then turned; None
    for others. ``changing``: the size or pixel aspect of frames may change, so PyAV is used first if it is installed.
    ``name``, ``fps`` and ``count`` are those of the current decoder.
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
        elif not (changing and self._try_over(f"OpenCV {cv2.__version__} does not notice changes of its shape")):
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
            SourceError: OpenCV cannot decode it, and PyAV is not installed or cannot either.
        """
        try:
            decoded = self._now.read()
        except Unwritten:
            what = "reports a frame that it did not write, as it does with interlaced video"
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

    def seek(self, stamp: float) -> bool:
        """Go on with the frames from about ``stamp`` s on. False, and nothing changes, if the decoder cannot do that,
        as PyAV."""
        return isinstance(self._now, CvDecoder) and self._now.seek(stamp)

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
    """Open with FFmpeg if available: other backends treat a % in the name as the pattern of an image sequence.
    InputError for a name that is not UTF-8."""
    check_plain(name, "the address")
    if not cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
        return cv2.VideoCapture(name)
    wait = int(TIMEOUT_SECONDS * 1000)
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, wait, cv2.CAP_PROP_READ_TIMEOUT_MSEC, wait]
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG, timeouts)
