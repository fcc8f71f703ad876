"""The frames of one connection to a camera, stream or pipeline."""

from __future__ import annotations

import threading
from collections.abc import Callable

import cv2

from mien.errors import MienError, SourceError
from mien.sources.decoders import Decoder
from mien.sources.live_reader import Shot, Shots
from mien.sources.privacy import Secrets

MAX_MISSES = 3
"""After this many failed reads in a row a connection counts as lost: USB cameras occasionally corrupt a frame."""


def watch(
    connect: Callable[[], cv2.VideoCapture], shown: str = "", *, address: str | None = None, stamped: bool = True
) -> Shots:
    """The frames of what ``connect`` opens, until there are no more. ``shown``: its name in messages. ``address``: what
    a second decoder may open. ``stamped``: whether its time stamps are meaningful."""
    decoder = Decoder(connect(), shown, again=connect, address=address, live=True)
    try:
        misses = 0
        while misses < MAX_MISSES:
            decoded = decoder.read()
            misses = 0 if decoded else misses + 1
            if decoded:
                yield Shot(decoded.image, decoded.stamp if stamped else None, decoder.fps, decoder.name)
    finally:
        decoder.release()


def private(secrets: Secrets, shots: Shots) -> Shots:
    """``shots``, but errors name the source and contain none of its secrets."""
    try:
        yield from shots
    except MienError:
        raise
    except Exception as error:
        raise SourceError(f"{secrets.shown} cannot be read: {secrets.clean(error)}") from None


def connect_within(seconds: float, connect: Callable[[], cv2.VideoCapture], shown: str) -> cv2.VideoCapture:
    """The capture that ``connect`` opens. SourceError if that takes longer than ``seconds``: GStreamer waits forever
    for missing devices."""
    got: list[cv2.VideoCapture | BaseException] = []

    def work() -> None:
        try:
            got.append(connect())
        except BaseException as error:
            got.append(error)

    thread = threading.Thread(target=work, name="mien opening", daemon=True)
    thread.start()
    thread.join(seconds)
    if not got:
        raise SourceError(f"{shown!r} did not start within {seconds:g} s; try it with gst-launch-1.0")
    if isinstance(got[0], BaseException):
        raise got[0]
    return got[0]
