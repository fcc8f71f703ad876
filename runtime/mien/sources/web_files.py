"""What a web server says of an address: that it is a file, a picture, a stream, or why there is nothing."""

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
"""Bytes that are read of an answer to see what it is."""
END_SECONDS = 2.0
"""Seconds in which an answer without a length may end and so prove to be a file."""
RECOGNIZABLE_BYTES = 2**13
"""Bytes by which a recording is known again: two live streams differ within them, behind their headers."""
FILE_BYTES = 2**24
"""Bytes in that time, which no camera sends: it is a file, too."""
FAKE_LENGTHS = (2**31 - 1, 2**32 - 1, 2**63 - 1)
"""Lengths that cameras give for what has no end."""
UNESCAPED = "/%:@!$&'()*+,;=~[]|"
"""What may stand in a path as it is, or is escaped already."""
REFUSALS = {
    401: "wants a user and password (or a token), or others than these: write http://USER:PASSWORD@... with special "
    "characters as %-codes (@ as %40, / as %2F)",
    403: "forbids it; check the user and what that user may see",
    404: "has nothing there; check the path",
    410: "has nothing there any more; check the path",
    429: "is asked too often; ask less often",
}


@dataclass(frozen=True)
class Answer:
    """``kind``: the media type, as ``image/jpeg``. ``length``: bytes, or None where the server does not say. ``head``:
    the first bytes. ``ended``: whether all of it came soon, or more than any camera sends. ``parts``: whether the
    server gives parts of it, too."""

    kind: str
    length: int | None
    head: bytes
    ended: bool
    parts: bool = True

    @property
    def endless(self) -> bool:
        """Pictures in a row, as cameras send them."""
        return self.kind.startswith("multipart/")

    @property
    def picture(self) -> bool:
        """One picture, perhaps of many as time goes on."""
        if self.endless or still_kind(self.head, "") is None:
            return False
        film = self.head.find(b"\xff\xd9\xff\xd8\xff") > 0  # JPEGs in a row
        return self.kind == "image/jpeg" or not film

    @property
    def nothing(self) -> bool:
        """An answer without anything in it."""
        return self.ended and not self.head

    @property
    def finite(self) -> bool:
        """A file, or a playlist of a film that is complete."""
        if self.endless:
            return False
        if self.head.startswith(b"#EXTM3U"):
            return b"#EXT-X-ENDLIST" in self.head
        if b"<MPD" in self.head[:1000]:
            return b'type="dynamic"' not in self.head
        return self.length is not None or self.ended

    def same(self, other: Answer) -> bool:
        """Whether both begin alike."""
        size = min(len(self.head), len(other.head))
        return size >= RECOGNIZABLE_BYTES and self.head[:size] == other.head[:size]

    @property
    def text(self) -> bool:
        """A page or text, which FFmpeg might play as a film of its letters."""
        playlist = self.head.startswith((b"#EXTM3U", b"v=0")) or b"<MPD" in self.head[:1000]
        raw = self.head.startswith(b"YUV4MPEG2 ")
        return not raw and bool(self.head) and b"\0" not in self.head[:4096] and not playlist and not self.endless


def is_web(address: str) -> bool:
    """Whether ``address`` is one that can be asked."""
    return address.lower().startswith(("http://", "https://"))


def ask(address: str, secrets: Secrets, timeout: float) -> Answer | None:
    """What the server says. None where it speaks no HTTP that is understood.

    Raises:
        SourceError: it cannot be reached within ``timeout`` s, or says that there is nothing; why, in words.
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
    """The answer to a GET, also where it is 304. None and errors as of ``ask``; SourceError, too, where it breaks off
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
        raise SourceError(f"what the server of {secrets.shown} sends breaks off: {why}") from None


def _get(address: str, secrets: Secrets, timeout: float, headers: Mapping[str, str]) -> HTTPResponse | None:
    plain, user, password = _login(address)
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # as FFmpeg: cameras sign their own
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
    except ValueError as error:  # also of a login that urllib does not know
        if "AuthHandler" not in str(error):
            return None
        raise SourceError(
            f"cannot open {secrets.shown}: the server wants a login that is neither Basic nor Digest; allow "
            "one of these in its settings"
        ) from None
    except OSError as error:  # URLError and timeouts, too
        reason = error.reason if isinstance(error, URLError) else error
        raise SourceError(
            f"cannot open {secrets.shown}: the server cannot be reached ({secrets.clean(reason)}); check the address, "
            "and that it is on and in this network"
        ) from None


def _refusal(error: HTTPError, secrets: Secrets) -> str:
    """What a server does instead of answering. It may repeat what it was asked, or name an address with a login."""
    if 300 <= error.code < 400 and (elsewhere := error.headers.get("Location")):
        scheme = elsewhere.partition(":")[0].lower() if ":" in elsewhere else ""
        if scheme not in ("", "http", "https"):
            return f"points to an address that begins with {scheme}:, which is not followed; give that one itself"
        return f"sends from one address to the next without end (HTTP {error.code}); check the address"
    what = REFUSALS.get(error.code) or ("has trouble; try again later" if error.code >= 500 else "refuses it")
    said = secrets.clean(error.reason or "").strip()
    return f"{what} (HTTP {error.code} {said})" if said else f"{what} (HTTP {error.code})"


def _begin(response: HTTPResponse, *, whole: bool) -> tuple[bytes, bool]:
    """The first bytes of an answer, and whether it ended. ``whole``: wait for that."""
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


def _login(address: str) -> tuple[str, str | None, str | None]:
    """The address without its user part, the user and the password."""
    parts = urlsplit(address)
    login, at, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    path, query = quote(parts.path, safe=UNESCAPED), quote(parts.query, safe=UNESCAPED + "?")
    plain = urlunsplit(parts._replace(netloc=host, path=path, query=query, fragment=""))
    return plain, unquote(user) if at else None, unquote(password) if at else None
