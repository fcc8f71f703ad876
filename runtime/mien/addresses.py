"""Addresses -> a source: a file on a server, or a stream."""

from __future__ import annotations

import cv2

from mien.connections import private, watch
from mien.errors import SourceError
from mien.live import Live
from mien.privacy import Secrets
from mien.sources import Source
from mien.video import TIMEOUT_MS, Video, open_capture


def is_address(text: str) -> bool:
    """A URL."""
    return "://" in text


def open_address(address: str) -> Source:
    """A video where it has an end, else live. SourceError, with the remedy, where that fails."""
    secrets = Secrets(address)
    shown = secrets.shown

    def connect() -> cv2.VideoCapture:
        capture = open_capture(address)
        if not capture.isOpened():
            raise SourceError(
                f"cannot open {shown}: check the address, user and password, and that the server can be "
                f"reached from here (waited at most {TIMEOUT_MS // 1000} s)"
            )
        return capture

    if address.lower().startswith("rtsp"):
        return Live(shown, lambda: private(secrets, watch(connect)))
    opened = [connect()]
    # A file on a server has an end; a camera's page of JPEGs has none, and its stamps are FFmpeg's invention.
    if opened[0].get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return Video(shown, opened[0])
    stamped = int(opened[0].get(cv2.CAP_PROP_FOURCC)) != cv2.VideoWriter.fourcc(*"MJPG")
    return Live(shown, lambda: private(secrets, watch(lambda: opened.pop() if opened else connect(), stamped=stamped)))
