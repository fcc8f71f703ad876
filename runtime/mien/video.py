"""A video file -> frames, decoded ahead on a thread."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from mien.errors import InputError, MienError, SourceError
from mien.faces import Frame, Image
from mien.paths import check_plain, for_opencv, readable
from mien.pixels import as_bgr
from mien.sources import POLL, THREADED, Source
from mien.timestamps import FileClock

TIMEOUT_MS = 10_000
"""How long a network stream may take to open, or to give the next frame."""
PLAYLISTS = (".m3u8", ".sdp")
AHEAD = 3
"""Frames that are decoded before they are asked for."""
JOIN = 1.0
"""How long, in s, ``close`` waits for a thread that is inside of the decoder or driver."""

log = logging.getLogger(__name__)

_Decoded: TypeAlias = "tuple[Image, float] | BaseException | None"


class Video(Source):
    """A file that OpenCV plays. The first frame is read at once, which proves that there is one and gives its size.

    While it is iterated over, a thread decodes up to ``AHEAD`` frames ahead; what it raises is raised by the iteration.
    Times are the container's, and go on at the frame rate where those do not rise.
    """

    kind = "video"

    def __init__(self, name: str, capture: cv2.VideoCapture, path: Path | None = None):
        self.name = readable(name)
        self.paths = [path] if path else []
        self._capture = capture
        self._thread: threading.Thread | None = None
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count = int(count) if 0 < count < 2**31 else None
        self.fps = frame_rate(capture)
        ok, first = capture.read()
        if not ok:
            self.close()
            raise no_frame(name)
        self.size = first.shape[1], first.shape[0]
        self._first: np.ndarray | None = first

    def __iter__(self) -> Iterator[Frame]:
        if self._thread:
            raise InputError(f"{self.name} was iterated over already; open it again")
        index, time, step = 0, 0.0, 1 / (self.fps or 25)
        clock = FileClock(step)
        ahead: queue.Queue[_Decoded] = queue.Queue(AHEAD)
        leave = threading.Event()
        if not self._stopped:
            self._thread = threading.Thread(target=self._decode, args=(ahead, leave), name="mien video", daemon=True)
            THREADED.add(self)
            self._thread.start()
        try:
            while not self._stopped:
                try:
                    got = ahead.get(timeout=POLL)
                except queue.Empty:
                    continue
                if isinstance(got, Exception) and not isinstance(got, MienError):
                    raise SourceError(
                        f"{self.name} cannot be decoded after frame {index}: {got or type(got).__name__}"
                    ) from got
                if isinstance(got, BaseException):
                    raise got
                if got is None:
                    self._check_end(index, time, step)
                    break
                time = clock(got[1])
                yield Frame(got[0], time, index, self.name)
                index += 1
        finally:
            self.state = "ended"
            leave.set()
            while not ahead.empty():  # so that the thread wakes up, and sees that it may leave
                ahead.get_nowait()
            if self._thread:
                self._thread.join(POLL)

    def close(self) -> None:
        super().close()
        if self._thread is None:
            self._capture.release()
        else:
            self._thread.join(JOIN)  # it releases the capture itself

    def _decode(self, ahead: queue.Queue[_Decoded], leave: threading.Event) -> None:
        def put(item: _Decoded) -> bool:
            while not (leave.is_set() or self._stopped):
                try:
                    ahead.put(item, timeout=POLL)
                    return True
                except queue.Full:
                    continue
            return False

        try:
            ok, image, self._first = True, self._first, None
            while ok and image is not None and put((as_bgr(image), self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)):
                ok, image = self._capture.read()
            put(None)
        except BaseException as error:
            put(error)
        finally:
            self._capture.release()

    def _check_end(self, read: int, time: float, step: float) -> None:
        # A variable frame rate makes the announced count wrong, but not the time at which a whole video ends.
        if self.count and read < self.count - 1 and time < (self.count - 2.5) * step:
            log.warning(
                "read %d of the %d frames that %s announces; its end is damaged or was cut off",
                read,
                self.count,
                self.name,
            )


def open_video(path: Path) -> cv2.VideoCapture:
    """A file's capture, opened; SourceError, with the remedy, where that fails."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    if not head:
        raise SourceError(f"{path} is empty (0 bytes); copy or download it again")
    # FFmpeg would play a text file as a film of its letters.
    if b"\0" not in head and path.suffix.lower() not in PLAYLISTS:
        raise SourceError(f"{path} is neither a picture nor a video; it looks like text")
    with for_opencv(path) as name:
        capture = open_capture(name)
    if not capture.isOpened():
        raise SourceError(
            f"cannot open {path}: it is damaged, its recording was not finished, or OpenCV "
            f"{cv2.__version__} does not know its format; try: ffmpeg -i {path.name} new.mp4"
        )
    return capture


def open_capture(name: str) -> cv2.VideoCapture:
    """FFmpeg where there is one: other backends read a % in the name as the pattern of an image sequence. InputError
    for a name that is no UTF-8."""
    check_plain(name, "the address")
    if not cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
        return cv2.VideoCapture(name)
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG, timeouts)


def frame_rate(capture: cv2.VideoCapture) -> float | None:
    """Frames per second, or None where what the source says cannot be."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 1 <= fps <= 240 else None


def no_frame(name: str) -> SourceError:
    return SourceError(f"{name} opens but gives no frame; it is damaged, or another program holds the camera")


def quiet_opencv() -> None:
    """Keep OpenCV, FFmpeg and the codecs from telling what mien tells better, and OpenCV to one thread.

    It is given small pictures, and waking its other threads took a seventh of a frame's time. Holds for the process.
    """
    cv2.setNumThreads(1)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, 5
    set_level(0)
