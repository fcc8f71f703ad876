"""What the user names -> the source that gives its frames."""

from __future__ import annotations

import glob
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from mien.errors import InputError, SourceError
from mien.listing import Listing, is_picture, list_folder, list_glob
from mien.live import Live, Shot, Shots
from mien.sources import POLL, Picture, Pictures, Source
from mien.timestamps import FileClock
from mien.video import TIMEOUT_MS, Video, as_bgr, frame_rate, no_frame, open_capture, open_video

log = logging.getLogger(__name__)

MISSES = 3
"""Reads that fail in a row before a connection counts as lost: USB cameras now and then spoil a frame."""

SECRETS = re.compile(
    r"""(?<=//)[^/?\#\s]*@                                              # user:password@
      | (?<=[?&])([^=&\s]*(?:pass|pwd|pw|token|secret|key|auth)[^=&\s]*=)[^&\s]*    # ?password=...
      | ((?:user-pw|proxy-pw)\s*=\s*)("[^"]*"|\S+)                      # of GStreamer's rtspsrc and souphttpsrc
    """,
    re.IGNORECASE | re.VERBOSE,
)


def open_source(spec: str | int | Path | Listing, *, loop: bool = False, recursive: bool = False) -> Source:
    """Open what ``spec`` names; SourceError, with the remedy, where that fails.

    A picture or video file, a folder or glob (its pictures in natural order; where it has none its only video), an
    ``rtsp://`` or ``http(s)://`` address, a camera (its number or ``/dev/video0``), or a GStreamer pipeline (it
    contains `` ! ``). A ``Listing`` is a folder or glob that was looked at already.
    ``loop``: play a video file over and over at its own pace, as a live source; InputError for anything else.
    ``recursive``: of a folder, also those in its folders.
    """
    if isinstance(spec, Listing):
        return _open_listing(spec)
    text = str(spec).strip()
    if not text:
        raise InputError("the source is empty; give a file, folder, glob, address or camera number")
    if loop:
        return _open_loop(text)
    if is_camera(text):
        return Live(f"camera {text}", lambda: watch(lambda: _camera(text)))
    if is_pipeline(text):
        return _open_pipeline(text)
    if is_address(text):
        return _open_address(text)
    path = Path(os.path.expanduser(text))
    if os.path.isdir(path):
        return _open_listing(list_folder(path, recursive=recursive), tell=True)
    if os.path.exists(path):
        return Picture(path) if is_picture(path) else Video(str(path), open_video(path), path)
    if glob.has_magic(text):
        return _open_listing(list_glob(text), tell=True)
    raise SourceError(_no_file(text))


def without_secrets(text: str) -> str:
    """An address or pipeline without its passwords and keys."""
    return SECRETS.sub(lambda found: f"{found[1] or found[2]}***" if found[1] or found[2] else "", text)


def watch(connect: Callable[[], cv2.VideoCapture], *, stamped: bool = True) -> Shots:
    """The frames of what ``connect`` opens, until it gives no more. ``stamped``: whether its stamps mean anything."""
    capture = connect()
    try:
        fps, misses = frame_rate(capture), 0
        while misses < MISSES:
            ok, image = capture.read()
            misses = 0 if ok else misses + 1
            if ok:
                yield Shot(as_bgr(image), capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if stamped else None, fps)
    finally:
        capture.release()


def replay(path: Path) -> Shots:
    """A video file over and over, at its own pace."""
    clock: FileClock | None = None
    start = 0.0
    while True:
        capture = open_video(path)
        try:
            ok, image = capture.read()
            if not ok:
                raise no_frame(str(path))
            fps = frame_rate(capture)
            if clock is None:
                clock, start = FileClock(1 / (fps or 25)), time.monotonic()
            clock.restart()
            while ok:
                at = clock(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
                # A machine that is too slow, or slept, does not have to catch up.
                start += late if (late := time.monotonic() - start - at) > 1 else 0
                while (ahead := start + at - time.monotonic()) > 0:
                    time.sleep(min(ahead, POLL))
                    yield None
                yield Shot(as_bgr(image), at, fps)
                ok, image = capture.read()
        finally:
            capture.release()


def _open_loop(text: str) -> Live:
    path = Path(os.path.expanduser(text))
    named = is_camera(text) or is_pipeline(text) or is_address(text) or glob.has_magic(text)
    if not os.path.exists(path) and not named:
        raise SourceError(_no_file(text))
    if is_camera(text) or not os.path.exists(path) or os.path.isdir(path) or is_picture(path):
        raise InputError(f"loop plays a video file over and over, and {without_secrets(text)} is none; leave it out")
    return Live(str(path), lambda: replay(path), paths=[path])


def _open_listing(listing: Listing, *, tell: bool = False) -> Source:
    """Its pictures or, where it has none, its only video. ``tell``: say what is left out, videos too."""
    if not listing.pictures and len(listing.videos) > 1:
        raise InputError(
            f"{listing.name} holds {len(listing.videos)} videos, and one source is one video; open each by its name "
            "(fer-run reads them one after the other)"
        )
    if tell:
        listing.tell()
        if listing.pictures and listing.videos:
            log.warning("left out in %s: %d videos; open each by its name", listing.name, len(listing.videos))
    if not listing.pictures:
        return open_source(listing.videos[0])
    return Pictures(listing.name, listing.pictures)


def _open_address(address: str) -> Source:
    shown = without_secrets(address)

    def connect() -> cv2.VideoCapture:
        capture = open_capture(address)
        if not capture.isOpened():
            raise SourceError(
                f"cannot open {shown}: check the address, user and password, and that the server can be "
                f"reached from here (waited at most {TIMEOUT_MS // 1000} s)"
            )
        return capture

    if address.lower().startswith("rtsp"):
        return Live(shown, lambda: watch(connect))
    opened = [connect()]
    # A file on a server has an end; a camera's page of JPEGs has none, and its stamps are FFmpeg's invention.
    if opened[0].get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return Video(shown, opened[0])
    stamped = int(opened[0].get(cv2.CAP_PROP_FOURCC)) != cv2.VideoWriter.fourcc(*"MJPG")
    return Live(shown, lambda: watch(lambda: opened.pop() if opened else connect(), stamped=stamped))


def is_camera(text: str) -> bool:
    """A number, or a device such as ``/dev/video0``."""
    return _is_number(text) or text.startswith("/dev/")


def is_pipeline(text: str) -> bool:
    """A GStreamer pipeline."""
    return " ! " in text


def is_address(text: str) -> bool:
    """A URL."""
    return "://" in text


def _is_number(text: str) -> bool:
    """Whether it can be the number of a camera; isdigit alone is true of ², which is none, too."""
    return text.isascii() and text.isdigit() and len(text) < 10


def _camera(text: str) -> cv2.VideoCapture:
    # A link such as /dev/v4l/by-id/... is followed each time: a camera that was unplugged may get another number.
    device = text if _is_number(text) else re.sub(r"^/dev/video", "", os.path.realpath(text))
    capture = cv2.VideoCapture(int(device)) if _is_number(device) else None
    if capture is None or not capture.isOpened():
        raise SourceError(f"cannot open camera {text}: {_camera_remedy()}")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not a queue of old ones
    return capture


def _camera_remedy() -> str:
    cameras = sorted(glob.glob("/dev/video*"))
    if not cameras:
        return "no camera is attached (no /dev/video*); in a container, pass it with --device /dev/video0"
    if not any(os.access(camera, os.R_OK | os.W_OK) for camera in cameras):
        return f"no permission for {', '.join(cameras)}; run: sudo usermod -aG video $USER, and log in again"
    return f"found {', '.join(cameras)}; try another number, and close programs that use the camera"


def _open_pipeline(pipeline: str) -> Live:
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"OpenCV {cv2.__version__} from pip has no GStreamer; for pipelines use the system's OpenCV "
            "(JetPack, or apt install python3-opencv), or give the rtsp:// address or camera number"
        )
    shown = without_secrets(pipeline)

    def connect() -> cv2.VideoCapture:
        capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
        if not capture.isOpened():
            raise SourceError(f"GStreamer cannot run {shown!r}; try it with gst-launch-1.0, and end it with ! appsink")
        return capture

    return Live(shown, lambda: watch(connect))


def _no_file(text: str) -> str:
    return f"there is no file or folder {text} (looked in {Path.cwd()}); check the path"
