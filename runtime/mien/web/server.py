"""uvicorn on its own thread: it handles no signals, writes no log, and stops on request."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.errors import OutputError
from mien.web.app import App
from mien.web.broadcaster import step_back
from mien.web.channel import Channel
from mien.web.guard import Guard
from mien.web.viewers import SEND_TIMEOUT_SECONDS

MAX_CONNECTIONS = 160
"""Open sockets, including idle ones: more than all viewers need, and far fewer than a process may open."""
SEND_BUFFER_BYTES = 128 * 1024
"""What the system may buffer for one viewer: whatever waits there arrives late."""
GRACE_SECONDS = 0.4
"""How long viewers may take to receive the end of their response."""

# uvicorn would warn about every malformed request. Errors of the application go to the logger mien.web.
log = logging.getLogger("mien.web.http")
log.setLevel(logging.ERROR)


class Connection(H11Protocol):
    """One viewer's socket, which is dropped if there are too many or if no request comes. Requests are never logged,
    because they contain the token."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.logger = log
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a phone out of reach is dropped in seconds, not minutes
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(2000 * SEND_TIMEOUT_SECONDS))
        self.loop.call_later(SEND_TIMEOUT_SECONDS, self._drop_idle)

    def _drop_idle(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()


class Server:
    """Serves on ``listener``, and closes it at the end. It is running when the constructor returns."""

    def __init__(
        self,
        listener: socket.socket,
        channels: Mapping[str, Channel],
        *,
        token: str | None,
        **words: Any,
    ):
        self._listener = listener
        self._channels = channels
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app = App(channels, drop=self._drop, **words)
        host, port = listener.getsockname()[:2]
        guard = Guard(self._app.routes, token=token, host=host, port=port)
        # access_log=True, because False would silence the access log of other servers in this process.
        config = uvicorn.Config(
            guard,
            http=Connection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=True,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="mien-web", daemon=True)
        self._thread.start()
        if not self._started.wait(10):
            raise OutputError("the server of the live page did not start; try again")

    def close(self) -> None:
        """End all responses and the thread, in less than two seconds, whoever is connected."""
        loop = self._loop
        if loop is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(self._end)
        self._thread.join(timeout=5)
        self._listener.close()

    def _run(self) -> None:
        step_back()
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        for channel in self._channels.values():
            channel.broadcaster.changed = self._ring
        loop.call_soon(self._started.set)
        await self._server.serve([self._listener])

    def _ring(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._app.bell.ring)

    def _end(self) -> None:
        self._app.close()
        self._server.should_exit = True
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._drop_all)

    def _drop(self, scope: Scope) -> None:
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, Connection) and connection.scope is scope:
                connection.transport.abort()

    def _drop_all(self) -> None:
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
