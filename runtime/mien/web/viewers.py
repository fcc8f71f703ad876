"""Endless responses, each to one viewer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mien.web.channel import Channel

SEND_TIMEOUT_SECONDS = 10.0
"""A viewer that does not accept what was sent within this time is dropped."""

Drop = Callable[[Scope], None]
"""Closes the connection of a request."""


class Bell:
    """Wakes everything that waits for it. Only for the server's thread."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Whether it rang within ``seconds``."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
            return False
        return True


class Stream(Response):
    """An endless response to one viewer. Each part is chosen only when the previous one was accepted, so that a slow
    viewer gets fewer parts and no queue grows; one that accepts nothing for ``SEND_TIMEOUT_SECONDS`` is dropped."""

    def __init__(
        self, kind: str, channels: Sequence[Channel], parts: AsyncIterator[bytes], media_type: str, drop: Drop
    ):
        """``parts`` of the ``kind`` are made of what happens on the ``channels``, whose viewer this is."""
        super().__init__(media_type=media_type, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._kind, self._channels, self._parts, self._drop = kind, channels, parts, drop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        end = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(head)
        if scope["method"] == "HEAD":
            await send(end)
            return
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            with ExitStack() as watching:
                for channel in self._channels:
                    watching.enter_context(channel.broadcaster.watch(self._kind))
                async for part in self._parts:
                    if gone.done():
                        return
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                    # An empty part can be sent only once the last one went out.
                    empty = {"type": "http.response.body", "body": b"", "more_body": True}
                    await asyncio.wait_for(send(empty), SEND_TIMEOUT_SECONDS)
            await send(end)
        except (TimeoutError, asyncio.TimeoutError):
            self._drop(scope)
            await asyncio.wait([gone], timeout=1)
        finally:
            gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
