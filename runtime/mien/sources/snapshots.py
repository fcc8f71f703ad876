"""The address of a single picture, fetched repeatedly: a slow camera."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from mien.errors import SourceError
from mien.sources.base import POLL_SECONDS
from mien.sources.images import decode_image
from mien.sources.live import Live
from mien.sources.live_reader import Shot, Shots
from mien.sources.privacy import Secrets
from mien.sources.web_files import fetch
from mien.types import Image

EVERY_SECONDS = 1.0
"""Default time between two pictures."""
TIMEOUT_SECONDS = 4.0
"""How long the server may be silent; shorter than the time after which a live source counts as stuck."""
MAX_MISSES = 3
"""After this many failures in a row the source counts as lost."""
MAX_BYTES = 2**26
"""Of a picture."""


def open_snapshots(address: str, secrets: Secrets, every: float) -> Live:
    """A live source of the picture at ``address``, which is fetched every ``every`` seconds. SourceError if that
    fails."""
    return Live(secrets.shown, lambda: poll(address, secrets, every))


def poll(address: str, secrets: Secrets, every: float) -> Shots:
    """The picture at ``address``, every ``every`` seconds, even if it has not changed. SourceError if the first fetch
    fails, or later MAX_MISSES in a row."""
    camera = _Camera(address, secrets)
    due, misses, begun = time.monotonic(), 0, False
    while True:
        try:
            image = camera.picture()
        except SourceError:
            misses += 1
            if not begun or misses == MAX_MISSES:
                raise
        else:
            misses, begun = 0, True
            yield Shot(image, None, 1 / every)
        due = max(due + every, time.monotonic())
        while (left := due - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
            yield None


class _Camera:
    """Remembers the last picture, so that the server need not send it again if it has not changed."""

    def __init__(self, address: str, secrets: Secrets):
        self._address, self._secrets = address, secrets
        self._name = Path(Path(urlsplit(address).path).name or "picture")
        self._known: Mapping[str, str] = {}
        self._image: Image | None = None

    def picture(self) -> Image:
        with fetch(self._address, self._secrets, TIMEOUT_SECONDS, self._known) as response:
            if response is None:
                raise SourceError(f"{self._secrets.shown} does not answer in valid HTTP")
            if response.status == 304 and self._image is not None:
                return self._image
            data = response.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise SourceError(f"{self._secrets.shown} sends more than {MAX_BYTES // 2**20} MiB; give one picture")
            if response.length:  # bytes that were announced but not sent
                raise SourceError(
                    f"the answer of the server of {self._secrets.shown} ends early, after {len(data)} bytes"
                )
            tags = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}
            known = {name: value for name, tag in tags.items() if (value := response.headers.get(tag))}
        try:
            self._image = decode_image(data, self._name)
        except SourceError as error:
            raise SourceError(f"{self._secrets.shown}: {error}") from error
        self._known = known
        return self._image
