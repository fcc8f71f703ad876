"""Who gets the live page and who does not: tokens, and other sites."""

from __future__ import annotations

import logging
import socket

import pytest
from live_pages import TOKEN, Camera, Client

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from mien.errors import InputError
from mien.web import LivePage


def test_an_address_that_others_reach_needs_a_token(guarded: Client) -> None:
    assert guarded.page.url.endswith(f"/?token={TOKEN}")
    for path in ("/", "/page.js", "/stream", "/events", "/metrics"):
        for answer in (
            guarded.get(path),
            guarded.get(path, Authorization="Bearer wrong"),
            guarded.get(f"{path}?token="),
        ):
            assert answer[0].status == 401
            assert answer[0].headers["WWW-Authenticate"].startswith("Bearer")
            assert b"token" in answer[1]
            assert TOKEN.encode() not in answer[1]
    assert guarded.get("/healthz")[1] == b'{"ok":true}'
    assert guarded.get("/metrics", Authorization=f"Bearer {TOKEN}")[0].status == 200
    response, _ = guarded.get(f"/?token={TOKEN}", Host="any.example")
    assert response.status == 200
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    guarded.open("/stream", Cookie=cookie.partition(";")[0]).close()
    assert guarded.get("/", Cookie=cookie.partition("=")[0] + "=wrong")[0].status == 401
    assert guarded.get("/", Authorization="Bearer \xe9")[0].status == 401


def test_a_token_is_made_where_none_is_given() -> None:
    pages = [LivePage("0.0.0.0:0", Camera(), engine="", labels=()) for _ in range(2)]
    try:
        assert len({page.token for page in pages}) == 2
        assert all(page.token and len(page.token) >= 20 for page in pages)
        assert "0.0.0.0" not in pages[0].url
    finally:
        for page in pages:
            page.close()


@pytest.mark.parametrize("token", ["", "short", "with spaces in it", "semi;colon-and-more", "ünïcode-token"])
def test_a_token_that_cannot_protect_or_travel_is_refused(token: str) -> None:
    with pytest.raises(InputError, match="8 or more") as error:
        LivePage("127.0.0.1:0", Camera(), engine="", labels=(), token=token)
    assert not token or token not in str(error.value)


def test_other_sites_cannot_read_along(live: Client, guarded: Client) -> None:
    assert live.get("/metrics", Host="evil.example")[0].status == 403  # a name that was pointed at 127.0.0.1
    assert live.get("/", Host="localhost.evil.example:80")[0].status == 403
    for host in ("localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8080"):
        assert live.get("/", Host=host)[0].status == 200
    for client, headers in ((live, {}), (guarded, {"Authorization": f"Bearer {TOKEN}"})):
        for site in ("cross-site", "same-site"):
            fetch = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", **headers}
            assert client.get("/metrics", **fetch)[0].status == 403


def test_the_token_is_in_no_log_and_nothing_is_printed(
    guarded: Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    guarded.get(f"/?token={TOKEN}")
    guarded.get(f"/{TOKEN}?token={TOKEN}x")
    with socket.create_connection(("127.0.0.1", guarded.port)) as sock:
        sock.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        assert b"400" in sock.recv(99)
    assert TOKEN not in caplog.text
    assert not [item for item in caplog.records if item.levelno >= logging.WARNING]
    assert capfd.readouterr() == ("", "")
