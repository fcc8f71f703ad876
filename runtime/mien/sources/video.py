"""Video files, whose frames a thread decodes ahead."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISFIFO
from typing import TypeAlias

import cv2

from mien.errors import InputError, MienError, SourceError
from mien.paths import for_native, readable
from mien.sources.base import POLL_SECONDS, Threaded
from mien.sources.completeness import ending
from mien.sources.decoders import Decoder, open_capture
from mien.sources.decoders.opencv import Decoded
from mien.sources.mp4_index import mirrored_turn
from mien.sources.timestamps import FileClock
from mien.types import Frame

PLAYLISTS = (".m3u8", ".sdp")
RAW = (b"YUV4MPEG2 ",)
"""Videos that start with a line of text and may contain no zero byte."""
JOINED = (b"\0\0\1", b"\0\0\0\1")
"""Start of program streams and of raw H.264, HEVC and MPEG-2. Like transport streams, they may be concatenated, as
programs are in broadcasts, with frames of different sizes."""
FLASH, MATROSKA, WEB = b"FLV", b"\x1a\x45\xdf\xa3", b"webm"
"""Start of FLV and Matroska, and what browsers write into the latter. They often hold live recordings, whose frame size
changes with the connection, or when a phone is turned."""
FRAMES_AHEAD = 3
"""Frames that are decoded in advance."""
JOIN_SECONDS = 1.0
"""How long ``close`` waits for a thread that is in the decoder or driver."""

log = logging.getLogger(__name__)

_Item: TypeAlias = "Decoded | BaseException | None"


class Video(Threaded):
    """A video with an end. The first frame is read at once, to check that there is one and to get its size.

    During the iteration, a thread decodes up to ``FRAMES_AHEAD`` frames ahead; its errors are raised by the iteration.
    Times are those of the container; where they do not increase, they continue at the frame rate.
    """

    kind = "video"

    def __init__(self, name: str, decoder: Decoder, path: Path | None = None):
        super().__init__()
        self.name = readable(name)
        self.paths = [path] if path else []
        self._frames = decoder
        self._thread: threading.Thread | None = None
        self._origin: float | None = None
        try:
            self._first = decoder.read()
            if self._first is None:
                raise no_frame(name)
        except BaseException as error:
            self.close()
            if isinstance(error, Exception) and not isinstance(error, MienError):
                raise SourceError(f"{self.name} cannot be read: {error or type(error).__name__}") from error
            raise
        self.count, self.fps, self.decoder = decoder.count, decoder.fps, decoder.name
        self.size = self._first.image.shape[1], self._first.image.shape[0]

    def seek(self, time: float) -> bool:
        """Let the iteration, which must not have begun, start with the frames from about ``time`` s on.

        Their times are those that they have in the whole video; their index is estimated from these. False, and nothing
        changes, if the decoder cannot do that.
        """
        origin = self._first.stamp if self._first else None
        if self._thread or origin is None or not self._frames.seek(origin + time):
            return False
        self._origin, self._first = origin, self._frames.read()
        return True

    def __iter__(self) -> Iterator[Frame]:
        self._check_process()
        if self._thread:
            raise InputError(f"{self.name} was iterated over already; open it again")
        index, end, step = 0, 0.0, 1 / (self.fps or 25)
        clock = FileClock(step)
        if self._origin is not None and self._first and self._first.stamp is not None:
            clock(self._origin)
            clock.leap(self._first.stamp)
            index = round((self._first.stamp - self._origin) / step)
        ahead: queue.Queue[_Item] = queue.Queue(FRAMES_AHEAD)
        leave = threading.Event()
        if not self._stopped:
            self._thread = threading.Thread(target=self._decode, args=(ahead, leave), name="mien video", daemon=True)
            self._thread.start()
        try:
            while not self._stopped:
                self._check_process()
                try:
                    got = ahead.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    continue
                if isinstance(got, Exception) and not isinstance(got, MienError):
                    raise SourceError(
                        f"{self.name} cannot be decoded after frame {index}: {got or type(got).__name__}"
                    ) from got
                if isinstance(got, BaseException):
                    raise got
                if got is None:
                    self._check_end(index, end, step)
                    break
                time = clock(got.stamp)
                end = max(time, got.stamp or 0.0)  # a video may begin late
                yield Frame(got.image, time, index, self.name)
                index += 1
        finally:
            self.state = "ended"
            if not self._forked:
                leave.set()
                while not ahead.empty():  # so that the thread wakes up and ends
                    ahead.get_nowait()
                if self._thread:
                    self._thread.join(POLL_SECONDS)

    def _release(self) -> None:
        if self._thread is None:
            self._frames.release()
        else:
            self._thread.join(JOIN_SECONDS)  # the thread releases the capture itself

    def _decode(self, ahead: queue.Queue[_Item], leave: threading.Event) -> None:
        def put(item: _Item) -> bool:
            while not (leave.is_set() or self._stopped):
                try:
                    ahead.put(item, timeout=POLL_SECONDS)
                    return True
                except queue.Full:
                    continue
            return False

        try:
            decoded, self._first = self._first, None
            while decoded and put(decoded):
                decoded = self._frames.read()
                self.decoder = self._frames.name
            put(None)
        except BaseException as error:
            put(error)
        finally:
            self._frames.release()

    def _check_end(self, read: int, time: float, step: float) -> None:
        """Warn if frames are missing. This goes by time, since a variable rate and edit lists make frame counts
        wrong."""
        if self.count and read >= self.count - 1:
            return
        if self.paths:
            cut, seconds = ending(self.paths[0])
            if not cut and (not seconds or not self.count or time + 2.5 * step >= seconds):
                return
        elif not self.count or time >= 0.8 * self.count * step:
            return  # for a file on a server only the length of the longest track is known, which may be the sound
        counted = f"of the {self.count} frames that {self.name} announces" if self.count else f"frames of {self.name}"
        log.warning("read %d %s; its end is damaged or cut off", read, counted)


def open_video(path: Path) -> Decoder:
    """Open the decoder of a file. SourceError, with the remedy, if that fails."""
    if is_pipe(path):
        raise SourceError(
            f"{path} is a pipe, but videos are read from files, because decoders must seek; save its content as a file "
            "first"
        )
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    if not head:
        raise SourceError(f"{path} is empty (0 bytes); copy or download it again")
    # FFmpeg would play a text file as a video of its characters.
    if b"\0" not in head and not head.startswith(RAW) and path.suffix.lower() not in PLAYLISTS:
        raise SourceError(f"{path} is neither a picture nor a video; it looks like text")

    def again() -> cv2.VideoCapture:
        with for_native(path) as name:
            return open_capture(name)

    capture = again()
    try:
        return Decoder(
            capture,
            str(path),
            again=again,
            address=os.path.abspath(path),
            mirrored=mirrored_turn(path),
            changing=_may_change(head),
        )
    except SourceError as error:
        if capture.isOpened():
            raise
        raise SourceError(
            f"cannot open {path}: it is damaged, its recording was not finished, or OpenCV {cv2.__version__} does not "
            f"know its format; try: ffmpeg -i {path.name} new.mp4 ({error})"
        ) from error


def _may_change(head: bytes) -> bool:
    """Whether frames of a file that starts with ``head`` may change their size, which only few formats allow."""
    transport = any(head[at : at + 1] == head[at + 188 + at : at + 189 + at] == b"G" for at in (0, 4))
    sent = head.startswith(FLASH) or (head.startswith(MATROSKA) and WEB in head[:64])
    return transport or sent or head.startswith(JOINED)


def is_pipe(path: Path) -> bool:
    """Whether it is a named pipe, or one that a shell created. Opening it would wait, and consume its content."""
    try:
        return S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False


def no_frame(name: str) -> SourceError:
    return SourceError(f"{name} opens but gives no frame; it is damaged or contains no picture")


def quiet_opencv() -> None:
    """Silence OpenCV, FFmpeg and the codecs, whose problems mien reports itself, and limit OpenCV to one thread.

    It gets small pictures, for which waking its other threads took a seventh of a frame's time. This applies to the
    whole process.
    """
    cv2.setNumThreads(1)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, 5
    set_level(0)
