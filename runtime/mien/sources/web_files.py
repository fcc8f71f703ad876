"""What a web server says about an address: that it is a file, a picture or a stream, or why there is nothing."""

from __future__ import annotations

import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from mien.errors import MienError, SourceError
from mien.sources.privacy import Secrets
from mien.sources.stills.kinds import still_kind

HEAD_BYTES = 2**16
"""How much of an answer is read to see what it is."""
END_SECONDS = 2.0
"""An answer without a length that ends within this time is a file."""
RECOGNIZABLE_BYTES = 2**13
"""A recording is recognized by so many bytes: within them, after their headers, two live streams differ."""
FILE_BYTES = 2**24
"""An answer of more bytes in that time is a file too, because no camera sends so much."""
FAKE_LENGTHS = (2**31 - 1, 2**32 - 1, 2**63 - 1)
"""Lengths that cameras claim for endless streams."""
UNESCAPED = "/%:@!$&'()*+,;=~[]|"
"""Characters that may appear in a path unchanged, or are escaped already."""
REFUSALS = {
    401: "needs a user and password (or a token), or different ones: write http://USER:PASSWORD@... with special "
    "characters as %-codes (@ as %40, / as %2F)",
    403: "forbids it; check the user and what that user may see",
    404: "has nothing there; check the path",
    410: "has nothing there any more; check the path",
    429: "gets too many requests; fetch less often",
}


@dataclass(frozen=True)
class Answer:
    """A server's answer. ``kind``: the media type, such as ``image/jpeg``. ``length``: in bytes, or None if the server
    does not say. ``head``: the first bytes. ``ended``: whether all of it came soon, or more than any camera sends.
    ``parts``: whether the server supports range requests."""

    kind: str
    length: int | None
    head: bytes
    ended: bool
    parts: bool = True

    @property
    def endless(self) -> bool:
        """Whether it is a series of pictures, as cameras send it."""
        return self.kind.startswith("multipart/")

    @property
    def picture(self) -> bool:
        """Whether it is a single picture, which may change over time."""
        if self.endless or still_kind(self.head, "") is None:
            return False
        series = self.head.find(b"\xff\xd9\xff\xd8\xff") > 0  # several JPEGs
        return self.kind == "image/jpeg" or not series

    @property
    def nothing(self) -> bool:
        """Whether it is empty."""
        return self.ended and not self.head

    @property
    def finite(self) -> bool:
        """Whether it is a file, or a complete playlist."""
        if self.endless:
            return False
        if self.head.startswith(b"#EXTM3U"):
            return b"#EXT-X-ENDLIST" in self.head
        if b"<MPD" in self.head[:1000]:
            return b'type="dynamic"' not in self.head
        return self.length is not None or self.ended

    def same(self, other: Answer) -> bool:
        """Whether both answers start with the same bytes."""
        size = min(len(self.head), len(other.head))
        return size >= RECOGNIZABLE_BYTES and self.head[:size] == other.head[:size]

    @property
    def text(self) -> bool:
        """Whether it is a page or text, which FFmpeg might play as a video of its characters."""
        playlist = self.head.startswith((b"#EXTM3U", b"v=0")) or b"<MPD" in self.head[:1000]
        raw = self.head.startswith(b"YUV4MPEG2 ")
        return not raw and bool(self.head) and b"\0" not in self.head[:4096] and not playlist and not self.endless


def is_web(address: str) -> bool:
    """Whether it is an ``http`` or ``https`` address."""
    return address.lower().startswith(("http://", "https://"))


def ask(address: str, secrets: Secrets, timeout: float) -> Answer | None:
    """What the server says about an address. None if it does not speak valid HTTP.

    Raises:
        SourceError: The server cannot be reached within ``timeout`` s, or refuses; the message says why.
    """
    with fetch(address, secrets, timeout) as response:
        if response is None:
            return None
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isascii() and length.isdigit() and int(length) not in FAKE_LENGTHS else None
        kind = response.headers.get_content_type().lower()
        endless = kind.startswith("multipart/")
        head, ended = (b"", False) if endless else _begin(response, whole=size is None)
        return Answer(kind, size, head, ended, response.headers.get("Accept-Ranges", "").lower() == "bytes")


@contextmanager
def fetch(
    address: str, secrets: Secrets, timeout: float, headers: Mapping[str, str] | None = None
) -> Iterator[HTTPResponse | None]:
    """The answer to a GET request, also if it is 304. None and errors as for ``ask``; SourceError also if it ends early
    while it is read."""
    response = _get(address, secrets, timeout, headers or {})
    if response is None:
        yield None
        return
    try:
        with response:
            yield response
    except MienError:
        raise
    except (OSError, HTTPException) as error:
        why = secrets.clean(str(error) or type(error).__name__)
        raise SourceError(f"the answer of the server of {secrets.shown} ends early: {why}") from None


def _get(address: str, secrets: Secrets, timeout: float, headers: Mapping[str, str]) -> HTTPResponse | None:
    plain, user, password = split_login(address)
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # like FFmpeg: cameras sign their own certificates
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=trust)]
    if user is not None:
        known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        known.add_password(None, plain, user, password or "")
        handlers += [urllib.request.HTTPDigestAuthHandler(known), urllib.request.HTTPBasicAuthHandler(known)]
    try:
        request = urllib.request.Request(plain, headers={"User-Agent": "mien", "Accept": "*/*", **headers})
        response: HTTPResponse = urllib.request.build_opener(*handlers).open(request, timeout=timeout)
        return response
    except HTTPError as error:
        if error.code == 304:
            return error  # type: ignore[return-value]
        error.close()
        raise SourceError(f"cannot open {secrets.shown}: the server {_refusal(error, secrets)}") from None
    except HTTPException:
        return None
    except ValueError as error:  # for example for a login method that urllib does not know
        if "AuthHandler" not in str(error):
            return None
        raise SourceError(
            f"cannot open {secrets.shown}: the server needs a login that is neither Basic nor Digest; allow one of "
            "these in its settings"
        ) from None
    except OSError as error:  # including URLError and timeouts
        reason = error.reason if isinstance(error, URLError) else error
        raise SourceError(
            f"cannot open {secrets.shown}: the server cannot be reached ({secrets.clean(reason)}); check the address, "
            "and that it is switched on and in this network"
        ) from None


def _refusal(error: HTTPError, secrets: Secrets) -> str:
    """Why a server does not answer. Its own words may repeat the request, or contain an address with a login."""
    if 300 <= error.code < 400 and (elsewhere := error.headers.get("Location")):
        scheme = elsewhere.partition(":")[0].lower() if ":" in elsewhere else ""
        if scheme not in ("", "http", "https"):
            return f"redirects to an address that starts with {scheme}:, which is not followed; give that one itself"
        return f"redirects without end (HTTP {error.code}); check the address"
    what = REFUSALS.get(error.code) or ("has an error; try again later" if error.code >= 500 else "refuses it")
    reason = secrets.clean(error.reason or "").strip()
    return f"{what} (HTTP {error.code} {reason})" if reason else f"{what} (HTTP {error.code})"


def _begin(response: HTTPResponse, *, whole: bool) -> tuple[bytes, bool]:
    """The first bytes of an answer, and whether it ended. ``whole``: wait for its end."""
    start, head, size = time.monotonic(), b"", 0
    try:
        while (
            time.monotonic() < start + (END_SECONDS if len(head) >= RECOGNIZABLE_BYTES else 2 * END_SECONDS + 1)
            and size < FILE_BYTES
        ):
            part = response.read1(HEAD_BYTES)
            if not part:
                return head, True
            head, size = head + part[: HEAD_BYTES - len(head)], size + len(part)
            if not whole and len(head) >= HEAD_BYTES:
                break
    except (TimeoutError, HTTPException, OSError):
        return head, False
    return head, size >= FILE_BYTES


def split_login(address: str) -> tuple[str, str | None, str | None]:
    """The address without its user part, the user, and the password."""
    parts = urlsplit(address)
    login, at, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    path, query = quote(parts.path, safe=UNESCAPED), quote(parts.query, safe=UNESCAPED + "?")
    plain = urlunsplit(parts._replace(netloc=host, path=path, query=query, fragment=""))
    return plain, unquote(user) if at else None, unquote(password) if at else None
