"""The web application of the live page: the page itself, pictures, events, health and metrics."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mien.web.broadcaster import FrameBroadcaster, Shown
from mien.web.counters import Counters

MAX_VIEWERS = 50
"""Maximum number of open streams, and of open event channels."""
SEND_TIMEOUT_SECONDS = 10.0
"""A viewer that does not accept what was sent within this time is dropped."""
SNAPSHOT_SECONDS = 5.0
"""How long a request for a single picture waits for it to be drawn."""
HEARTBEAT_SECONDS = 1.0
"""Time between heartbeats while there is nothing new."""
BOUNDARY = b"mien-frame"
PAGE = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/cards.js": ("cards.js", "text/javascript"),
    "/plane.js": ("plane.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

log = logging.getLogger(__name__)
Drop = Callable[[Scope], None]


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

    def __init__(self, app: App, kind: str, media_type: str):
        super().__init__(media_type=media_type, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._app = app
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        end = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(head)
        if scope["method"] == "HEAD":
            await send(end)
            return
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            with self._app.broadcaster.watch(self._kind):
                async for part in self._app.parts(self._kind):
                    if gone.done():
                        return
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                    # An empty part can be sent only once the last one went out.
                    empty = {"type": "http.response.body", "body": b"", "more_body": True}
                    await asyncio.wait_for(send(empty), SEND_TIMEOUT_SECONDS)
            await send(end)
        except (TimeoutError, asyncio.TimeoutError):
            self._app.drop(scope)
            await asyncio.wait([gone], timeout=1)
        finally:
            gone.cancel()


class App:
    """The application, without its guard. ``drop`` closes the connection of a request."""

    def __init__(
        self,
        broadcaster: FrameBroadcaster,
        counters: Counters,
        *,
        about: Mapping[str, object],
        build: Mapping[str, str],
        drop: Drop,
    ):
        self.broadcaster = broadcaster
        self.drop = drop
        self.bell = Bell()
        self._closing = False
        self._counters = counters
        self._about = dict(about)
        self._build = build
        folder = files("mien") / "web" / "static"
        self._page = {path: ((folder / name).read_bytes(), media) for path, (name, media) in PAGE.items()}
        routes = [Route(path, self._file) for path in PAGE]
        routes += [Route("/stream", self._stream), Route("/events", self._events)]
        routes += [Route("/snapshot.jpg", self._snapshot)]
        routes += [Route("/healthz", self._health), Route("/metrics", self._metrics)]
        self.routes = Starlette(routes=routes)

    def close(self) -> None:
        """Let every viewer's response end."""
        self._closing = True
        self.bell.ring()

    async def parts(self, kind: str) -> AsyncIterator[bytes]:
        """The parts that one viewer gets until the server ends: everything new, and heartbeats otherwise."""
        seen: Shown | None = None
        yield self._hello() if kind == "events" else b"--" + BOUNDARY + b"\r\n"
        while not self._closing:
            shown = self.broadcaster.shown
            if shown is not None and shown is not seen and (kind == "events" or shown.jpeg):
                # A moment may be prepared a second time for its picture; its event is not sent twice.
                if kind == "stream":
                    yield _part(shown.jpeg)
                elif seen is None or seen.number != shown.number:
                    yield b"data: " + shown.event + b"\n\n"
                seen = shown
            elif not await self.bell.wait(HEARTBEAT_SECONDS):
                if kind == "events":
                    yield _event("beat", self._counters.status())
                else:
                    yield _part(seen.jpeg) if seen is not None and seen is self.broadcaster.shown else b""

    def _hello(self) -> bytes:
        # Milliseconds after which a browser reconnects if the server is gone.
        return b"retry: 1000\n" + _event("hello", {**self._about, **self._counters.status()})

    async def _file(self, request: Request) -> Response:
        content, media = self._page[request.url.path]
        return Response(content, media_type=media)

    async def _stream(self, request: Request) -> Response:
        return self._watch("stream", f"multipart/x-mixed-replace; boundary={BOUNDARY.decode()}")

    async def _events(self, request: Request) -> Response:
        return self._watch("events", "text/event-stream")

    def _watch(self, kind: str, media: str) -> Response:
        return self._full(kind) or Stream(self, kind, media)

    def _full(self, kind: str) -> Response | None:
        """A refusal, if the maximum number of viewers is connected."""
        if self.broadcaster.watching[kind] < MAX_VIEWERS:
            return None
        text = f"{MAX_VIEWERS} viewers are connected, and no more are served; try again later\n"
        return PlainTextResponse(text, 503, headers={"Retry-After": "10"})

    async def _snapshot(self, request: Request) -> Response:
        """The newest picture, as drawn for ``/stream``. While it is drawn, the client counts as a viewer."""
        if full := self._full("stream"):
            return full
        end = asyncio.get_running_loop().time() + SNAPSHOT_SECONDS
        with self.broadcaster.watch("stream"):
            while self._counters.healthy and not self._closing:
                shown, left = self.broadcaster.shown, end - asyncio.get_running_loop().time()
                if shown is not None and shown.jpeg:
                    return Response(shown.jpeg, media_type="image/jpeg")
                if left <= 0:
                    break
                await self.bell.wait(left)
        text = f"there is no picture now: the source is {self._counters.state}; try again later\n"
        return PlainTextResponse(text, 503, headers={"Retry-After": "10"})

    async def _health(self, request: Request) -> Response:
        ok = self._counters.healthy
        return JSONResponse({"ok": ok}, 200 if ok else 503)

    async def _metrics(self, request: Request) -> Response:
        latest, labels = self.broadcaster.latest, self._about["labels"]
        assert isinstance(labels, list)
        text = self._counters.prometheus(latest.faces if latest else (), labels, self.broadcaster.watching, self._build)
        return Response(text, media_type="text/plain; version=0.0.4")


def _part(jpeg: bytes) -> bytes:
    """One picture, followed at once by the next boundary: Chromium shows a picture only when it sees its end."""
    head = b"Content-Type: image/jpeg\r\nContent-Length: " + str(len(jpeg)).encode() + b"\r\n\r\n"
    return head + jpeg + b"\r\n--" + BOUNDARY + b"\r\n"


def _event(name: str, data: Mapping[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
