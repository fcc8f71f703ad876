"""Why a server cannot be reached, in words that say what to do."""

from __future__ import annotations

import socket
import ssl


def why_unreachable(error: BaseException, host: str, timeout_s: float) -> str:
    """What the system's error means, and what to look at. ``host``: the name that was looked up."""
    if isinstance(error, socket.gaierror):
        return f"the host {host!r} cannot be found ({error.strerror}); check its name"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; check host and port, and that the server runs"
    if isinstance(error, TimeoutError):
        return f"it does not answer within {timeout_s:g} s; check host and port"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}); if it is of your own authority, set "
            "SSL_CERT_FILE to that one's certificate"
        )
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS there ({error.reason}); check the port and the start of the address"
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{said}; check host and port"
