"""Opens the source for whatever the user names."""

from __future__ import annotations

import glob
import logging
import os
import re
import time
from pathlib import Path

import cv2

from mien.errors import InputError, SourceError
from mien.sources.addresses import is_address, local, open_address
from mien.sources.animation import open_still
from mien.sources.base import POLL_SECONDS, Pictures, Source
from mien.sources.connections import watch
from mien.sources.folders import Listing, list_folder, list_glob
from mien.sources.live import Live
from mien.sources.live_reader import Shot, Shots
from mien.sources.pipelines import is_pipeline, open_pipeline
from mien.sources.privacy import without_secrets
from mien.sources.rotation import check_turn, turned
from mien.sources.stills.kinds import kind_of_file
from mien.sources.timestamps import FileClock
from mien.sources.video import Video, is_pipe, no_frame, open_video
from mien.validation import check_number

SECONDS = "a number of seconds from 0.05 to 3600"

log = logging.getLogger(__name__)


def open_source(
    spec: str | int | Path | Listing,
    *,
    loop: bool = False,
    recursive: bool = False,
    rotate: int = 0,
    flip: bool = False,
    every: float | None = None,
) -> Source:
    """Open a source of frames.

    Args:
        spec: A picture or video file; a folder or glob (its pictures in natural order or, if it has none, its only
            video); an ``rtsp://`` or ``http(s)://`` address; a camera (its number or ``/dev/video0``); a GStreamer
            pipeline (it contains `` ! ``); or a ``Listing``, a folder or glob that was read already.
        loop: Play a video file repeatedly at its own speed, as a live source.
        recursive: Include the subfolders of a folder.
        rotate: Turn all pictures clockwise by 90, 180 or 270 degrees, for a camera that is mounted sideways or upside
            down. Boxes and landmarks are those of the turned pictures.
        flip: Mirror all pictures left to right, after turning them. In mirrored pictures, right and left are swapped in
            landmarks too.
        every: For an ``http(s)://`` address of a single picture, which is a live source: seconds from one fetch to the
            next, by default 1.

    Returns:
        The open source: iterate over it once, and close it, or use it as a context manager.

    Raises:
        SourceError: It cannot be opened; the message says what to do.
        InputError: An option does not fit the source, or is out of range.
    """
    check_turn(rotate)
    if every is not None and not 0.05 <= check_number(every, "every", SECONDS) <= 3600:
        raise InputError(f"every is {every}; use {SECONDS}")
    return turned(_open(spec, loop, recursive, every), rotate, flip)


def _open(spec: str | int | Path | Listing, loop: bool, recursive: bool, every: float | None) -> Source:
    if isinstance(spec, Listing):
        return _open_listing(spec)
    text = local(spec)
    if every is not None and not is_address(text):
        raise InputError(
            f"every is only for the address of a single picture, which {without_secrets(text)} is not; leave it out"
        )
    if not text:
        raise InputError("the source is empty; give a file, folder, glob, address or camera number")
    if loop:
        return _open_loop(text)
    if is_camera(text):
        return Live(f"camera {text}", lambda: watch(lambda: _camera(text), f"camera {text}"))
    if is_pipeline(text):
        return open_pipeline(text)
    if is_address(text):
        return open_address(text, every)
    path = Path(os.path.expanduser(text))
    if os.path.isdir(path):
        return _open_listing(list_folder(path, recursive=recursive), tell=True)
    if os.path.exists(path):
        kind = kind_of_file(path)  # otherwise an unsupported picture could be opened as a video
        return open_still(path, kind) if kind else Video(str(path), open_video(path), path)
    if glob.has_magic(text):
        return _open_listing(list_glob(text), tell=True)
    raise SourceError(_no_file(text))


def replay(path: Path) -> Shots:
    """A video file that is repeated forever, at its own speed."""
    clock: FileClock | None = None
    start = 0.0
    while True:
        decoder = open_video(path)
        try:
            decoded = decoder.read()
            if not decoded:
                raise no_frame(str(path))
            if clock is None:
                clock, start = FileClock(1 / (decoder.fps or 25)), time.monotonic()
            clock.restart()
            while decoded:
                at = clock(decoded.stamp)
                # A machine that is too slow, or was asleep, need not catch up.
                start += late if (late := time.monotonic() - start - at) > 1 else 0
                while (ahead := start + at - time.monotonic()) > 0:
                    time.sleep(min(ahead, POLL_SECONDS))
                    yield None
                yield Shot(decoded.image, at, decoder.fps, decoder.name)
                decoded = decoder.read()
        finally:
            decoder.release()


def _open_loop(text: str) -> Live:
    path = Path(os.path.expanduser(text))
    named = is_camera(text) or is_pipeline(text) or is_address(text) or glob.has_magic(text)
    if not os.path.exists(path) and not named:
        raise SourceError(_no_file(text))
    if is_camera(text) or not os.path.exists(path) or os.path.isdir(path) or kind_of_file(path):
        raise InputError(f"loop is only for a video file, which {without_secrets(text)} is not; leave it out")
    return Live(str(path), lambda: replay(path), paths=[path])


def _open_listing(listing: Listing, *, tell: bool = False) -> Source:
    """Open its pictures or, if it has none, its only video. ``tell``: warn of what is left out."""
    if not listing.pictures and len(listing.videos) > 1:
        raise InputError(
            f"{listing.name} holds {len(listing.videos)} videos, but a source is a single video; open each by its name"
        )
    if tell:
        listing.tell()
        if listing.pictures and listing.videos:
            log.warning("left out in %s: %d videos; open each by its name", listing.name, len(listing.videos))
    if not listing.pictures:
        return _open(listing.videos[0], False, False, None)
    return Pictures(listing.name, listing.pictures)


def is_camera(text: str) -> bool:
    """Whether it is a camera number, or a device such as ``/dev/video0``, but not a file or pipe such as
    ``/dev/stdin``."""
    return _is_number(text) or (text.startswith("/dev/") and not (os.path.isfile(text) or is_pipe(Path(text))))


def _is_number(text: str) -> bool:
    """Whether it can be the number of a camera. isdigit alone would also accept characters such as ²."""
    return text.isascii() and text.isdigit() and len(text) < 10


def _camera(text: str) -> cv2.VideoCapture:
    # A link such as /dev/v4l/by-id/... is resolved each time: a camera that was replugged may get another number.
    device = text if _is_number(text) else re.sub(r"^/dev/video", "", os.path.realpath(text))
    if not _is_number(device) and os.path.exists(text):
        raise SourceError(f"{text} is not a camera; cameras are /dev/video0 and so on, or links to these")
    capture = cv2.VideoCapture(int(device)) if _is_number(device) else None
    if capture is None or not capture.isOpened():
        raise SourceError(f"cannot open camera {text}: {_camera_remedy()}")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # only the newest picture, not a queue of old ones
    return capture


def _camera_remedy() -> str:
    cameras = sorted(glob.glob("/dev/video*"))
    if not cameras:
        return "no camera is attached (no /dev/video*); a container needs access to /dev/video0 (docker run --device)"
    if not any(os.access(camera, os.R_OK | os.W_OK) for camera in cameras):
        return f"no permission for {', '.join(cameras)}; run: sudo usermod -aG video $USER, and log in again"
    return f"found {', '.join(cameras)}; try another number, and close programs that use the camera"


def _no_file(text: str) -> str:
    return f"there is no file or folder {without_secrets(text)} (looked in {Path.cwd()}); check the path"
