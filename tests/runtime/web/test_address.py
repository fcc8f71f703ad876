"""The address of the live page, and one that it cannot have."""

from __future__ import annotations

import socket

import pytest
from live_pages import Camera, Client

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from mien.errors import OutputError
from mien.web import LivePage


@pytest.mark.parametrize(
    "address", ["", "host", "99999", "-1", ":8080", "a:b:80", "::1:80", "[::1]", "1.2.3.4:", "80 80"]
)
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(OutputError, match="such as 8080"):
        LivePage(address, Camera(), engine="", labels=())


def test_an_address_that_cannot_be_had_is_told(live: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match=rf"port {live.port} is used by another program.* 0 for a free one"):
        Client(f"127.0.0.1:{live.port}")
    with pytest.raises(OutputError, match=r"203\.0\.113\.7 is not an address of this machine"):
        Client("203.0.113.7:0")

    def refuse(self: socket.socket, place: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(OutputError, match=r"no permission for port 80; .* such as 8080"):
        Client("80")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6() -> None:
    try:
        page = LivePage("[::1]:0", Camera(), engine="", labels=())
    except OutputError:
        pytest.skip("no IPv6 loopback here")
    try:
        assert page.url.startswith("http://[::1]:")
        assert page.token is None
    finally:
        page.close()
