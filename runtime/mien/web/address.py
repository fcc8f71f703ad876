"""``[HOST:]PORT`` -> a socket that listens there, the URL to open, and the token for it."""

from __future__ import annotations

import errno
import ipaddress
import re
import secrets
import socket

from mien.errors import InputError, OutputError

TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,}")
"""Characters that need no quoting in a URL, a header or a cookie."""


def listen(address: str) -> socket.socket:
    """Listen at ``address``: ``8080`` (this machine only), ``0.0.0.0:8080``, ``[::]:8080``; port 0 takes a free one.

    OutputError, with the remedy, if that fails.
    """
    host, port = _split(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise OutputError(f"there is no host {host!r} to serve at ({error}); use 127.0.0.1 or 0.0.0.0") from error
    # A name may have both kinds of address; programs that know only one kind know IPv4.
    family, kind, protocol, _, place = min(found, key=lambda item: item[0] != socket.AF_INET)
    server = socket.socket(family, kind, protocol)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # [::] means everything
        server.bind(place)
        server.listen(64)
    except OSError as error:
        server.close()
        raise OutputError(f"cannot serve at {address}: {_remedy(error, host, port)}") from error
    return server


def is_loopback(server: socket.socket) -> bool:
    """Whether only this machine can reach the socket."""
    address = ipaddress.ip_address(server.getsockname()[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def url_of(server: socket.socket, token: str | None) -> str:
    """The URL to open in a browser. For a socket on all addresses, one that other machines can reach."""
    host, port = server.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = _own_address()
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def check_token(token: str | None, *, loopback: bool) -> str | None:
    """The given token, a new one if others can reach the page, or None. InputError for a bad one."""
    if token is None:
        return None if loopback else secrets.token_urlsafe(16)
    if not TOKEN.fullmatch(token):  # not shown: even a bad token is a secret
        raise InputError(
            "the token must have 8 or more letters, digits or any of . _ ~ -; leave it out to get a generated one"
        )
    return token


def _split(address: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:(\[[^\[\]\s]+\]|[^:\[\]\s]+):)?([0-9]{1,5})", address.strip())
    if not match or int(match[2]) > 65535:
        raise OutputError(
            f"cannot serve at {address!r}: give a port from 0 to 65535, or host and port, "
            "such as 8080, 0.0.0.0:8080 or [::]:8080"
        )
    return (match[1] or "127.0.0.1").strip("[]"), int(match[2])


def _remedy(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is used by another program; choose another, or 0 for a free one"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"no permission for port {port}; ports below 1024 need administrator rights: choose another, such as 8080"
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"{host} is not an address of this machine; use 127.0.0.1 for this machine alone, 0.0.0.0 for all"
    return f"{error.strerror}; choose another host or port"


def _own_address() -> str:
    """The address under which other machines reach this one. Connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
