"""One POST to a webhook: its address, login and signature, and whether it is worth another attempt."""

from __future__ import annotations

import base64
import hmac
import re
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from mien.errors import InputError, OutputError
from mien.sinks.unreachable import why_unreachable
from mien.sources.privacy import Secrets, escaped
from mien.sources.web_files import is_web, split_login

TOKEN, SECRET = "MIEN_WEBHOOK_TOKEN", "MIEN_WEBHOOK_SECRET"
"""Variables of the environment: a bearer token, and a key that signs."""
TIMEOUT_S = 10.0
"""A receiver that does not answer within this time is tried again."""
TEMPORARY = (408, 429)
"""Answers below 500 after which another attempt makes sense."""
SHORTEST_KEY_BYTES, LONGEST_KEY_BYTES = 24, 64
"""As the Standard Webhooks specification demands."""


class Refused(OutputError):
    """The receiver will not take this event, however often it is sent."""


class Failed(OutputError):
    """The receiver cannot be reached or has an error. ``after_s``: the pause in s that it asks for, or 0."""

    after_s = 0.0


class Unreachable(Failed):
    """There is no answer at all."""


@dataclass(frozen=True)
class Receiver:
    """Where events go. ``shown``: scheme, host and port, as paths of webhooks are often secret; ``headers``: a login;
    ``key`` signs, if there is one."""

    url: str = field(repr=False)
    host: str
    shown: str
    headers: Mapping[str, str] = field(repr=False)
    key: bytes | None = field(repr=False)
    secrets: Secrets = field(repr=False)


def parse_receiver(url: str, environment: Mapping[str, str]) -> Receiver:
    """Check an ``http(s)://`` address, and take token and key from ``environment``. InputError, with the remedy, for
    what cannot be used."""
    secrets = Secrets(url)
    if not is_web(url):
        raise InputError(f"{secrets.shown} is not the address of a webhook; it must begin with http:// or https://")
    try:
        parts = urlsplit(escaped(url))
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{secrets.shown} has no valid host and port; check the address") from error
    if not host:
        raise InputError(f"{secrets.shown} names no host; check the address")
    plain, user, password = split_login(escaped(url))
    shown = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
    headers, token = {"Content-Type": "application/json", "User-Agent": "mien"}, environment.get(TOKEN)
    if token and user is not None:
        raise InputError(f"there is a user in the address of {shown}, and a token in {TOKEN}; give only one of them")
    if token and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise InputError(f"{TOKEN} holds spaces or other characters that no token has; check it")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif user is not None:
        login = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    return Receiver(plain, host, shown, headers, _key(environment.get(SECRET)), secrets)


def sign(key: bytes, number: str, seconds: int, body: bytes) -> str:
    """The signature of an event by the Standard Webhooks specification: HMAC-SHA256 of its id, time and body."""
    digest = hmac.digest(key, f"{number}.{seconds}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def post(receiver: Receiver, number: str, body: bytes, timeout_s: float = TIMEOUT_S) -> None:
    """Send an event with the id ``number``, which stays the same when it is sent again.

    Raises:
        Refused: The receiver answered that it does not take it.
        Failed: Another attempt may succeed; Unreachable if there was no answer.
    """
    seconds = int(time.time())
    headers = {**receiver.headers, "webhook-id": number, "webhook-timestamp": str(seconds)}
    if receiver.key:
        headers["webhook-signature"] = sign(receiver.key, number, seconds, body)
    request = urllib.request.Request(receiver.url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout_s):
            return
    except HTTPError as error:
        with error:
            raise _of_answer(receiver, error) from None
    except (OSError, HTTPException, ValueError) as error:  # including URLError and timeouts
        inner = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
        why = receiver.secrets.clean(why_unreachable(inner, receiver.host, timeout_s))
        raise Unreachable(f"cannot reach the webhook at {receiver.shown}: {why}") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without a body."""

    def redirect_request(self, *_: object) -> None:
        return None


def _of_answer(receiver: Receiver, error: HTTPError) -> OutputError:
    reason = receiver.secrets.clean(error.reason or "").strip()
    what = f"the webhook at {receiver.shown} answers {error.code}{f' {reason}' if reason else ''}"
    if error.code >= 500 or error.code in TEMPORARY:
        failed = Failed(f"{what}; check the receiver")
        failed.after_s = _pause(error.headers.get("Retry-After", ""))
        return failed
    if error.code < 400:
        return Refused(f"{what}, a redirect, which is not followed; give the address that it names")
    if error.code in (401, 403):
        return Refused(f"{what}; set {TOKEN} to its token, or {SECRET} to its key")
    return Refused(f"{what}; check the path, and that it takes JSON by POST")


def _pause(text: str) -> float:
    """Seconds that ``Retry-After`` asks for: a number, or a date."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _key(text: str | None) -> bytes | None:
    if not text:
        return None
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not SHORTEST_KEY_BYTES <= len(key) <= LONGEST_KEY_BYTES:
        raise InputError(
            f"{SECRET} must hold {SHORTEST_KEY_BYTES} to {LONGEST_KEY_BYTES} random bytes in base64; make some with: "
            "openssl rand -base64 32"
        )
    return key
