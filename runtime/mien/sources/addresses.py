"""Sources at addresses: a file on a server, a stream, or a picture that is fetched repeatedly."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import cv2

from mien.errors import InputError, SourceError
from mien.sources.base import Source
from mien.sources.connections import private, watch
from mien.sources.decoders import TIMEOUT_SECONDS, Decoder, open_capture
from mien.sources.live import Live
from mien.sources.live_reader import Ended, Shots
from mien.sources.privacy import Secrets, escaped
from mien.sources.snapshots import EVERY_SECONDS, open_snapshots
from mien.sources.video import Video
from mien.sources.web_files import Answer, ask, is_web
from mien.types import Frame

ASK_SECONDS = 2.0
"""How long to ask a server what an address is, once the address is open: some cameras serve one client at a time."""

log = logging.getLogger(__name__)


def is_address(text: str) -> bool:
    """Whether it is a URL, except that of a file on this machine."""
    return "://" in text and not text.lower().startswith("file:")


def local(spec: str | int | Path) -> str:
    """The name of a source: unchanged if there is such a file, the path for a ``file:`` URL on this machine, and
    otherwise without spaces around it."""
    text = str(spec)
    if os.path.lexists(os.path.expanduser(text)):
        return text
    text = text.strip()
    found = re.match(r"file:(?://(?:localhost)?(?=/))?(/.*)", text, re.IGNORECASE | re.DOTALL)
    if not found:
        return text
    return found[1] if os.path.exists(found[1]) else unquote(found[1])


def open_address(address: str, every: float | None = None) -> Source:
    """Open an address as a video if it has an end, otherwise as a live source. SourceError, with the remedy, if that
    fails.

    ``every``: for the address of a single picture, the seconds from one fetch to the next; InputError for others.
    """
    secrets = Secrets(address)
    shown, address = secrets.shown, escaped(address)

    def connect() -> cv2.VideoCapture:
        capture = open_capture(address)
        if not capture.isOpened():
            raise SourceError(
                f"cannot open {shown}: check the address, user and password (with special characters as %-codes: @ is "
                f"%40), and that the server can be reached from here (waited at most {TIMEOUT_SECONDS:g} s)"
            )
        return capture

    if not is_web(address):
        _check_every(every, shown)
        if address.lower().startswith("rtsp"):
            return Live(shown, lambda: private(secrets, watch(connect, shown, address=address)))
        return _open_stream(address, secrets, connect(), None)
    capture = open_capture(address)
    answer = _ask(address, secrets, capture.isOpened())
    if answer and answer.picture:
        capture.release()
        return open_snapshots(address, secrets, every or EVERY_SECONDS)
    try:
        if answer and answer.nothing:
            raise SourceError(
                f"cannot open {shown}: the server answers, but sends nothing; check the path, or try again later"
            )
        _check_every(every, shown)
        if answer and answer.text:
            raise SourceError(f"{shown} is a web page or text, not a picture or video; give the address of the stream")
        if not capture.isOpened() and not (answer and answer.finite):
            raise SourceError(
                f"cannot open {shown}: the server sends {answer.kind if answer else 'something other than HTTP'}, and "
                f"OpenCV {cv2.__version__} finds no video in it"
            )
    except BaseException:
        capture.release()
        raise
    return _open_stream(address, secrets, capture, answer)


def _check_every(every: float | None, shown: str) -> None:
    if every is not None:
        raise InputError(f"every is only for the address of a single picture, which {shown} is not; leave it out")


def _ask(address: str, secrets: Secrets, opened: bool) -> Answer | None:
    """What the server says of the address. None also if the server does not answer about an address that is open."""
    try:
        return ask(address, secrets, ASK_SECONDS if opened else TIMEOUT_SECONDS)
    except SourceError:
        if opened:
            return None
        raise


def _open_stream(address: str, secrets: Secrets, capture: cv2.VideoCapture, answer: Answer | None) -> Source:
    shown = secrets.shown
    opened = [capture]

    def again() -> cv2.VideoCapture:
        return open_capture(address)

    def first() -> cv2.VideoCapture:
        return opened.pop() if opened else again()

    def shots(stamped: bool) -> Shots:
        yield from private(secrets, watch(first, shown, address=address, stamped=stamped))
        if answer and not answer.endless and _is_recording(address, secrets, answer):
            raise Ended

    # A file on a server has an end. A camera's series of JPEGs has none, and FFmpeg makes up its time stamps.
    if answer.finite if answer else capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        try:
            return Download(address, secrets, Decoder(capture, shown, again=again, address=address))
        except SourceError as error:
            if answer and not answer.parts:  # FFmpeg must seek if the index is at the end
                raise SourceError(
                    f"{error}; the server only sends the whole file: download it, and open the file"
                ) from error
            raise
    stamped = int(capture.get(cv2.CAP_PROP_FOURCC)) != cv2.VideoWriter.fourcc(*"MJPG")
    return Live(shown, lambda: shots(stamped))


def _is_recording(address: str, secrets: Secrets, before: Answer) -> bool:
    """Whether a stream that ended would start again with the same content: a camera would show something new."""
    try:
        now = ask(address, secrets, TIMEOUT_SECONDS)
    except SourceError:
        return False
    return now is not None and (now.finite or now.same(before))


class Download(Video):
    """A video on a server. FFmpeg cannot tell the end from a broken connection, so the server is asked at the end."""

    def __init__(self, address: str, secrets: Secrets, decoder: Decoder):
        self._address, self._secrets = address, secrets
        super().__init__(secrets.shown, decoder)

    def __iter__(self) -> Iterator[Frame]:
        yield from super().__iter__()
        if self._stopped or not is_web(self._address):
            return
        try:
            ask(self._address, self._secrets, ASK_SECONDS)
        except SourceError as error:
            log.warning("the end of the video may be missing: %s", error)
