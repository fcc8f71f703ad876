"""A picture, folder, video, camera or stream -> frames."""

from __future__ import annotations

import glob
import logging
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from mien.errors import InputError, SourceError
from mien.faces import Frame
from mien.images import SUFFIXES, read_image

Kind = Literal["image", "images", "video", "live"]

TIMEOUT_MS = 10_000
"""How long a network stream may take to open, or to give the next frame."""
PLAYLISTS = (".m3u8", ".sdp")

log = logging.getLogger(__name__)


class Source(ABC):
    """Frames to iterate over once, and a context manager that lets go of the file or device.

    ``kind``: image, images (a folder or glob), video (it has an end) or live. ``name``: as given, without passwords.
    ``fps``: frames per second, or None. ``size``: width, height in px, or None where it differs between frames.
    ``count``: frames announced, or None. ``paths``: the files that are read. Trouble with single frames is a warning
    of the logger ``mien.sources``.
    """

    kind: Kind
    name: str
    fps: float | None = None
    size: tuple[int, int] | None = None
    count: int | None = None
    paths: Sequence[Path] = ()

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:  # noqa: B027 (pictures hold nothing open)
        """Release the file or device. Twice does no harm."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(spec: str | int | Path) -> Source:
    """Open what ``spec`` names; SourceError, with the remedy, where that fails.

    A picture or video file, a folder (its pictures in natural order, not those of its folders), a glob, an ``rtsp://``
    or ``http(s)://`` address, a camera (its number or ``/dev/video0``), or a GStreamer pipeline (it contains `` ! ``).
    """
    text = str(spec).strip()
    if not text:
        raise InputError("the source is empty; give a file, folder, glob, address or camera number")
    if text.isdigit() or text.startswith("/dev/"):
        return _open_camera(text)
    if " ! " in text:
        return _open_pipeline(text)
    if "://" in text:
        return _open_address(text)
    path = Path(text).expanduser()
    if os.path.isdir(path):
        return _open_folder(path)
    if os.path.exists(path):
        return Picture(path) if _is_picture(path) else _open_video(path)
    if glob.has_magic(text):
        found = [Path(item) for item in glob.glob(str(path), recursive=True) if os.path.isfile(item)]
        if found:
            return Pictures(text, found)
        raise SourceError(f"no file matches {text}; check the pattern, and quote it in the shell")
    raise SourceError(f"there is no file or folder {text} (looked in {Path.cwd()}); check the path")


class Picture(Source):
    """One picture file. It is read at once, so that a bad one is known before anything else starts."""

    kind = "image"
    count = 1

    def __init__(self, path: Path):
        self.name = str(path)
        self.paths = [path]
        self._image = read_image(path)
        self.size = self._image.shape[1], self._image.shape[0]

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(self._image, 0.0, 0, self.name)


class Pictures(Source):
    """Many picture files. An unreadable one is a warning and leaves its index out; SourceError where all are."""

    kind = "images"

    def __init__(self, name: str, paths: Sequence[Path]):
        self.name = name
        self.paths = sorted(paths, key=_natural)
        self.count = len(paths)

    def __iter__(self) -> Iterator[Frame]:
        readable = 0
        for index, path in enumerate(self.paths):
            try:
                image = read_image(path)
            except SourceError as error:
                log.warning("skipped: %s", error)
                continue
            readable += 1
            yield Frame(image, 0.0, index, str(path))
        if not readable:
            raise SourceError(f"none of the {self.count} files of {self.name} is a readable picture")


class Video(Source):
    """Anything that OpenCV plays. The first frame is read at once, which proves that there is one and gives its size.

    Times are the container's; where those do not rise, one frame duration is added. Live sources tell the time since
    the first frame, whatever the camera claims.
    """

    def __init__(self, name: str, capture: cv2.VideoCapture, *, live: bool, path: Path | None = None):
        self.name = name
        self.paths = [path] if path else []
        self._capture = capture
        count, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        self.count = int(count) if 0 < count < 2**31 and not live else None
        self.fps = fps if 1 <= fps <= 240 else None
        self.kind = "live" if live else "video"
        ok, self._first = capture.read()
        if not ok:
            self.close()
            raise SourceError(f"{name} opens but gives no frame; it is damaged, or another program holds the camera")
        self.size = self._first.shape[1], self._first.shape[0]

    def __iter__(self) -> Iterator[Frame]:
        ok, image, index, last = True, self._first, 0, 0.0
        step = 1 / (self.fps or 25)
        start = time.monotonic()
        while ok:
            now = time.monotonic() - start if self.kind == "live" else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            last = now if index == 0 or now > last else last + step
            yield Frame(_as_bgr(image), max(last, 0.0), index, self.name)
            index += 1
            ok, image = self._capture.read()
        if self.kind == "live":
            log.warning("%s ended after %d frames; the camera or server stopped sending", self.name, index)
        # A variable frame rate makes the announced count wrong, but not the time at which a whole video ends.
        elif self.count and index < self.count - 1 and last < (self.count - 2.5) * step:
            log.warning(
                "read %d of the %d frames that %s announces; its end is damaged or was cut off",
                index,
                self.count,
                self.name,
            )

    def close(self) -> None:
        self._capture.release()


def _open_folder(folder: Path) -> Pictures:
    try:
        found = [item for item in folder.iterdir() if item.suffix.lower() in SUFFIXES and not item.name.startswith(".")]
    except OSError as error:
        raise SourceError(f"cannot read folder {folder}: {error.strerror}; check its permissions") from error
    if not found:
        raise SourceError(f"folder {folder} holds no pictures ({', '.join(SUFFIXES)}); give a video by its name")
    return Pictures(str(folder), found)


def _open_video(path: Path) -> Video:
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
    capture = _capture(os.path.abspath(path))
    if not capture.isOpened():
        raise SourceError(
            f"cannot open {path}: it is damaged, its recording was not finished, or OpenCV "
            f"{cv2.__version__} does not know its format; try: ffmpeg -i {path.name} new.mp4"
        )
    return Video(str(path), capture, live=False, path=path)


def _open_address(address: str) -> Video:
    shown = re.sub(r"//[^/@]*@", "//", address)
    capture = _capture(address)
    if not capture.isOpened():
        raise SourceError(
            f"cannot open {shown}: check the address, user and password, and that the server can be "
            f"reached from here (waited at most {TIMEOUT_MS // 1000} s)"
        )
    # A file on a server has an end; a camera's page of JPEGs has none.
    return Video(shown, capture, live=address.startswith("rtsp") or capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0)


def _open_camera(text: str) -> Video:
    device = text if text.isdigit() else re.sub(r"^/dev/video", "", os.path.realpath(text))
    capture = cv2.VideoCapture(int(device)) if device.isdigit() else None
    if capture is None or not capture.isOpened():
        raise SourceError(f"cannot open camera {text}: {_camera_remedy()}")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not a queue of old ones
    return Video(f"camera {text}", capture, live=True)


def _camera_remedy() -> str:
    cameras = sorted(glob.glob("/dev/video*"))
    if not cameras:
        return "no camera is attached (no /dev/video*); in a container, pass it with --device /dev/video0"
    if not any(os.access(camera, os.R_OK | os.W_OK) for camera in cameras):
        return f"no permission for {', '.join(cameras)}; run: sudo usermod -aG video $USER, and log in again"
    return f"found {', '.join(cameras)}; try another number, and close programs that use the camera"


def _open_pipeline(pipeline: str) -> Video:
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"OpenCV {cv2.__version__} from pip has no GStreamer; for pipelines use the system's OpenCV "
            "(JetPack, or apt install python3-opencv), or give the rtsp:// address or camera number"
        )
    capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise SourceError(f"GStreamer cannot run {pipeline!r}; try it with gst-launch-1.0, and end it with ! appsink")
    return Video(pipeline, capture, live=True)


def _capture(name: str) -> cv2.VideoCapture:
    """FFmpeg where there is one: other backends read a % in the name as the pattern of an image sequence."""
    if not cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
        return cv2.VideoCapture(name)
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG, timeouts)


def _is_picture(path: Path) -> bool:
    """By its name or, for other names, by its first bytes. An animated GIF is a video."""
    suffix = path.suffix.lower()
    return suffix in SUFFIXES or (suffix != ".gif" and cv2.haveImageReader(str(path)))


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sorts frame2 before frame10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", str(path))]


def _as_bgr(image: np.ndarray) -> np.ndarray:
    """GStreamer pipelines may deliver grey."""
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
