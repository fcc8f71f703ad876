"""Annotated frames as pictures, a video, or a window."""

from __future__ import annotations

import logging
import math
import os
import sys
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from mien.errors import OutputError
from mien.packages import OPENCV, installed, windows_remedy
from mien.paths import for_native, for_system, readable
from mien.sinks.encoder import CODECS, Encoder, open_encoder
from mien.sinks.paths import check_into, check_name, check_output, free_name, make_folder, names_folder
from mien.sources.base import Source
from mien.sources.live import Patience
from mien.types import Frame, Image

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MAX_HOLD_SECONDS = Patience.stuck
"""How long a frame of a live source may be shown in a video: after that time without another, it counts as lost."""

log = logging.getLogger(__name__)


class PictureSink(Protocol):
    """Takes frames with the annotations already drawn."""

    def write(self, frame: Frame) -> None: ...
    def close(self) -> None: ...


def save_to(path: str, source: Source, taken: set[str] | None = None, stem: str | None = None) -> PictureSink:
    """A sink that saves frames of ``source`` at ``path``, a file or a folder. OutputError if that cannot work, before
    anything is written.

    ``taken``: names that are in use in the folder already; the names of new files are added. ``stem``: name without
    suffix of a video in a folder; by default that of the source.
    """
    check_name(path)
    target, suffix = Path(path), Path(path).suffix.lower()
    taken = set() if taken is None else taken
    if source.kind == "images" or names_folder(path):
        if target.is_file() or (not names_folder(path) and suffix in (*PICTURES, *CODECS)):
            raise OutputError(f"{path} is the name of a file, but {source.name} holds several pictures; name a folder")
        check_into(path, source)
        make_folder(target)
        if source.kind in ("image", "images"):
            return SavePictures(target, folder=True, taken=taken)
        name = Path(for_system(source.name))
        suffix = name.suffix.lower() if name.suffix.lower() in CODECS else ".mp4"
        target = target / (free_name(stem or name.stem or "video", [suffix], taken) + suffix)
        check_output(str(target), source)
        return SaveVideo(target, fps=source.fps, live=source.kind == "live")
    check_output(path, source)
    allowed = PICTURES if source.kind == "image" else tuple(CODECS)
    if suffix not in allowed:
        what = "picture" if source.kind == "image" else "video"
        raise OutputError(f"cannot save a {what} as {path}; end the name with one of {', '.join(allowed)}")
    if source.kind == "image":
        return SavePictures(target, folder=False)
    return SaveVideo(target, fps=source.fps, live=source.kind == "live")


class SavePictures:
    """Saves each frame as a picture: at ``path`` itself or, in a folder, under the name of its source file."""

    def __init__(self, path: Path, *, folder: bool, taken: set[str] | None = None):
        self._path = path
        self._folder = folder
        self._taken = set() if taken is None else taken

    def write(self, frame: Frame) -> None:
        path = self._path / self._name(frame) if self._folder else self._path
        ok, data = cv2.imencode(path.suffix, frame.image)
        if not ok:
            raise OutputError(f"OpenCV cannot write {path}; save as .jpg or .png")
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; free space or choose another place") from error

    def _name(self, frame: Frame) -> str:
        """A glob may match files with the same name in several folders: later ones get their index appended."""
        name = Path(for_system(frame.name))
        suffix = name.suffix if name.suffix.lower() in PICTURES else ".png"
        return free_name(name.stem, [suffix], self._taken, frame.index) + suffix

    def close(self) -> None:
        pass


class SaveVideo:
    """A video of the source's size, which shows each frame at the time it had in the source.

    An .mp4 or .mov keeps all frames and their times. An .avi or .mkv has the constant rate ``fps``: frames are repeated
    or left out so that each is shown within one frame of its time, and a warning says if some were left out.

    A frame of a live source is shown for at most MAX_HOLD_SECONDS or, if the source is slow, twice its usual time: an
    hour without a picture is cut out, with a warning. A frame of another size is resized to that of the first. FFmpeg
    encodes only even sizes, so the last row or column of an odd size is doubled; an .avi at a whole frame rate keeps an
    odd size, with OpenCV's own writer.

    If the process is killed, the video still plays: .mp4 and .mov up to the last second (see
    ``mien.sinks.fragmented_mp4``), .avi and .mkv up to the last 256 kB that FFmpeg wrote, which may lack a few seconds.
    """

    def __init__(self, path: Path, *, fps: float | None, live: bool):
        self._path = path
        self._fps = max(1.0, fps or 25.0)
        self._live = live
        self._longest = max(MAX_HOLD_SECONDS, 2 / (fps or 25.0)) if live else math.inf
        self._encoder: Encoder | None = None
        self._size = self._pad = (0, 0)
        self._last: Image | None = None
        self._waits = False
        """Whether the last frame has not been written to the video yet."""
        self._start = self._at = self._cut = 0.0
        self._written = self._left_out = 0

    def write(self, frame: Frame) -> None:
        image = frame.image
        if self._encoder is None:
            self._size, self._start = (image.shape[1], image.shape[0]), frame.time
            self._encoder = self._open()
        if (image.shape[1], image.shape[0]) != self._size:  # OpenCV would drop it silently
            image = np.asarray(cv2.resize(image, self._size), dtype=np.uint8)
        if any(self._pad):
            right, bottom = self._pad
            image = np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE), dtype=np.uint8)
        slots = self._slots(frame.time)
        for slot in range(slots, 0, -1):  # until this one, the frame before it is repeated
            self._encoder.write(image if slot == 1 or self._last is None else self._last, self._at)
            self._written += 1
        self._left_out += self._waits and slots < 2
        self._last, self._waits = image, slots == 0

    def _slots(self, time: float) -> int:
        """How many frames to write up to this one. Sets ``_at``, its time in the video, without the time during which a
        live source was lost."""
        if self._written:
            at = time - self._start
            if at <= self._at:  # a frame is shown even if its time does not increase
                at = self._at + 1 / self._fps
            elif at > self._at + self._longest:
                self._cut += at - self._at - self._longest
                at = self._at + self._longest
            self._start, self._at = time - at, at
        timed = self._encoder is not None and self._encoder.timed
        return 1 if timed else max(0, round(self._at * self._fps) + 1 - self._written)

    def _open(self) -> Encoder:
        odd = self._size[0] % 2 or self._size[1] % 2
        if self._path.suffix.lower() == ".avi" and odd and float(self._fps).is_integer():
            return open_encoder(self._path, self._fps, self._size, cv2.CAP_OPENCV_MJPEG)
        self._pad = self._size[0] % 2, self._size[1] % 2
        return open_encoder(self._path, self._fps, (self._size[0] + self._pad[0], self._size[1] + self._pad[1]))

    def close(self) -> None:
        """Finish the file. OpenCV does not report a full disk, so it is opened again: OutputError if it is broken."""
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        encoder.close()
        with for_native(self._path) as name:
            check = cv2.VideoCapture(name)
        count = check.get(cv2.CAP_PROP_FRAME_COUNT) if check.isOpened() else 0
        check.release()
        if count < self._written - 1:
            raise OutputError(f"{self._path} holds {max(0, count):.0f} of {self._written} frames; is the disk full?")
        if self._cut:
            log.warning("%s leaves out %.0f s in which the source gave no picture", self._path, self._cut)
        self._left_out += self._waits
        if self._left_out and not self._live:
            log.warning(
                "%s shows %g frames/s; frames that came faster were left out: %d; save as .mp4 or .mov to keep all",
                self._path,
                self._fps,
                self._left_out,
            )


class Window:
    """Shows frames on the screen. ``closed`` becomes true with q, Esc or the window's close button."""

    def __init__(self, title: str, *, wait: bool):
        """``wait``: wait for a key after each frame, as for pictures. OutputError if there is no display."""
        self._title = readable(title)
        self._delay = 0 if wait else 1
        self.closed = False
        if not cv2.currentUIFramework():
            raise OutputError(
                f"a window needs an OpenCV with windows, which {' and '.join(installed(OPENCV)) or 'this one'} is not; "
                f"run: {windows_remedy()} (never have both: they overwrite each other)"
            )
        # Qt ends the whole program if it finds no display.
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise OutputError(
                "a window needs a display, and there is none (DISPLAY is not set); save to a file instead"
            )
        cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)

    def write(self, frame: Frame) -> None:
        cv2.imshow(self._title, frame.image)
        key = cv2.waitKey(self._delay) & 0xFF
        self.closed = key in (ord("q"), 27) or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1

    def close(self) -> None:
        cv2.destroyAllWindows()
