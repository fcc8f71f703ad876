from __future__ import annotations

import base64
import time
from email.utils import formatdate

import pytest

from mien.errors import InputError
from mien.sinks.webhook_request import Unreachable, _pause, parse_receiver, post, sign


def test_a_known_signature() -> None:
    """The example of the Standard Webhooks specification."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secrets_of_an_address_are_used_and_not_shown() -> None:
    receiver = parse_receiver("https://me:p%40ss@hooks.example/services/T0/B0?key=abcd", {})
    assert receiver.url == "https://hooks.example/services/T0/B0?key=abcd"
    assert receiver.headers["Authorization"] == f"Basic {base64.b64encode(b'me:p@ss').decode()}"
    assert receiver.shown == "https://hooks.example"
    assert not any(secret in repr(receiver) for secret in ("p@ss", "p%40ss", "abcd", "B0"))
    assert parse_receiver("http://[::1]:80/x", {}).shown == "http://[::1]:80"


@pytest.mark.parametrize(
    ("url", "environment", "message"),
    [
        ("ftp://host/x", {}, "must begin with http:// or https://"),
        ("host/x", {}, "must begin with http:// or https://"),
        ("http:///x", {}, "names no host"),
        ("http://host:99999/x", {}, "no valid host and port"),
        ("http://me:pass@host/x", {"MIEN_WEBHOOK_TOKEN": "t"}, "give only one"),
        ("http://host/x", {"MIEN_WEBHOOK_TOKEN": "a b"}, "no token has"),
        ("http://host/x", {"MIEN_WEBHOOK_SECRET": "short"}, "openssl rand -base64 32"),
        ("http://host/x", {"MIEN_WEBHOOK_SECRET": base64.b64encode(bytes(65)).decode()}, "openssl rand -base64 32"),
    ],
)
def test_what_cannot_be_used_is_refused(url: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_receiver(url, environment)


def test_a_host_that_does_not_exist_is_named() -> None:
    receiver = parse_receiver("http://no-such-host.invalid/secret-path", {})
    with pytest.raises(Unreachable, match=r"the host 'no-such-host\.invalid' cannot be found") as raised:
        post(receiver, "msg_1", b"{}", 5)
    assert "secret-path" not in str(raised.value)


def test_pauses_that_receivers_ask_for() -> None:
    assert _pause("120") == 120
    assert 50 < _pause(formatdate(time.time() + 60, usegmt=True)) < 61
    assert _pause(formatdate(time.time() - 60, usegmt=True)) == 0
    assert _pause("soon") == _pause("") == 0
