"""Addresses -> a source: a file on a server, or a stream."""

from __future__ import annotations

import cv2

from mien.connections import private, watch
from mien.decoders import TIMEOUT, Decoder, open_capture
from mien.errors import SourceError
from mien.live import Live
from mien.privacy import Secrets
from mien.sources import Source
from mien.video import Video


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
                f"reached from here (waited at most {TIMEOUT:g} s)"
            )
        return capture

    if address.lower().startswith("rtsp"):
        return Live(shown, lambda: private(secrets, watch(connect, shown, address=address)))
    opened = [connect()]
    # A file on a server has an end; a camera's page of JPEGs has none, and its stamps are FFmpeg's invention.
    if opened[0].get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return Video(shown, Decoder(opened[0], shown, again=connect, address=address))
    stamped = int(opened[0].get(cv2.CAP_PROP_FOURCC)) != cv2.VideoWriter.fourcc(*"MJPG")

    def first() -> cv2.VideoCapture:
        return opened.pop() if opened else connect()

    return Live(shown, lambda: private(secrets, watch(first, shown, address=address, stamped=stamped)))
