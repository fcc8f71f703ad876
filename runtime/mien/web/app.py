"""The web application of the live page: the page itself, pictures, events, health and metrics."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mien.web.broadcaster import Shown
from mien.web.channel import Channel
from mien.web.guard import STRANGER
from mien.web.metrics import prometheus
from mien.web.viewers import Bell, Drop, Stream

MAX_VIEWERS = 50
"""Maximum number of open streams, and of open event channels."""
SNAPSHOT_SECONDS = 5.0
"""How long a request for a single picture waits for it to be drawn."""
TILE_SECONDS = 1.0
"""The same for a tile: a browser has six connections for the whole page."""
HEARTBEAT_SECONDS = 1.0
"""Time between heartbeats of a source while there is nothing new of it."""
BOUNDARY = b"mien-frame"
PAGE = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/cards.js": ("cards.js", "text/javascript"),
    "/plane.js": ("plane.js", "text/javascript"),
    "/tiles.js": ("tiles.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

log = logging.getLogger(__name__)


class App:
    """The application, without its guard. ``drop`` closes the connection of a request."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        *,
        about: Mapping[str, object],
        build: Mapping[str, str],
        drop: Drop,
    ):
        self.bell = Bell()
        self._channels = dict(channels)
        self._drop = drop
        self._closing = False
        self._about = dict(about)
        self._build = build
        folder = files("mien") / "web" / "static"
        self._page = {path: ((folder / name).read_bytes(), media) for path, (name, media) in PAGE.items()}
        routes = [Route(path, self._file) for path in PAGE]
        routes += [Route("/events", self._events), Route("/healthz", self._health), Route("/metrics", self._metrics)]
        for end in ("", "/{source}"):
            routes += [Route(f"/stream{end}", self._stream), Route(f"/tile{end}", self._tile)]
        routes += [Route("/snapshot.jpg", self._snapshot), Route("/snapshot/{source}.jpg", self._snapshot)]
        self.routes = Starlette(routes=routes)

    def close(self) -> None:
        """Let every viewer's response end."""
        self._closing = True
        self.bell.ring()

    async def _event_parts(self) -> AsyncIterator[bytes]:
        """What one viewer gets until the server ends: everything new of all sources, and heartbeats otherwise."""
        channels = list(self._channels.values())
        numbers: dict[str, int] = {}
        clock = asyncio.get_running_loop().time
        told = dict.fromkeys(self._channels, clock())
        # Milliseconds after which a browser reconnects if the server is gone.
        yield b"retry: 1000\n" + _event("hello", self._hello())
        while not self._closing:
            idle = True
            for channel in channels:
                shown = channel.broadcaster.shown
                # A moment may be prepared a second time for its picture; its event is not sent twice.
                if shown is not None and numbers.get(channel.name) != shown.number:
                    idle, numbers[channel.name], told[channel.name] = False, shown.number, clock()
                    yield b"data: " + shown.event + b"\n\n"
            if idle:
                await self.bell.wait(max(0.0, min(told.values()) + HEARTBEAT_SECONDS - clock()))
                for channel in channels:
                    shown = channel.broadcaster.shown
                    new = shown is not None and numbers.get(channel.name) != shown.number
                    if not new and clock() - told[channel.name] >= HEARTBEAT_SECONDS:
                        told[channel.name] = clock()
                        yield _event("beat", channel.status())

    async def _picture_parts(self, channel: Channel) -> AsyncIterator[bytes]:
        """The same for the pictures of one source; the last one again as a heartbeat."""
        seen: Shown | None = None
        yield b"--" + BOUNDARY + b"\r\n"
        while not self._closing:
            shown = channel.broadcaster.shown
            if shown is not None and shown is not seen and "stream" in shown.pictures:
                yield _part(shown.pictures["stream"])
                seen = shown
            elif not await self.bell.wait(HEARTBEAT_SECONDS):
                yield _part(seen.pictures["stream"]) if seen is not None and seen is channel.broadcaster.shown else b""

    def _hello(self) -> dict[str, object]:
        states = [channel.status() for channel in self._channels.values()]
        return {**self._about, **(states[0] if len(states) == 1 else {}), "sources": states}

    async def _file(self, request: Request) -> Response:
        content, media = self._page[request.url.path]
        return Response(content, media_type=media)

    async def _events(self, request: Request) -> Response:
        channels = list(self._channels.values())
        return self._full("events") or Stream("events", channels, self._event_parts(), "text/event-stream", self._drop)

    async def _stream(self, request: Request) -> Response:
        channel = self._named(request)
        if isinstance(channel, Response):
            return channel
        media = f"multipart/x-mixed-replace; boundary={BOUNDARY.decode()}"
        return self._full("stream") or Stream("stream", [channel], self._picture_parts(channel), media, self._drop)

    def _named(self, request: Request) -> Channel | Response:
        """The source that the path names, which may be left out if there is only one; or a refusal."""
        name = request.path_params.get("source")
        if name is None and len(self._channels) == 1:
            return next(iter(self._channels.values()))
        with suppress(KeyError):
            return self._channels[str(name)]
        return PlainTextResponse(f"name one of the sources: {', '.join(self._channels)}\n", 404)

    def _watching(self, kind: str) -> int:
        """Open connections. A viewer of events watches all sources."""
        counts = [channel.broadcaster.watching[kind] for channel in self._channels.values()]
        return max(counts) if kind == "events" else sum(counts)

    def _full(self, kind: str) -> Response | None:
        """A refusal, if the maximum number of viewers is connected."""
        if self._watching(kind) < MAX_VIEWERS:
            return None
        text = f"{MAX_VIEWERS} viewers are connected, and no more are served; try again later\n"
        return PlainTextResponse(text, 503, headers={"Retry-After": "10"})

    async def _snapshot(self, request: Request) -> Response:
        """The newest picture, as drawn for ``/stream``."""
        return self._full("stream") or await self._picture(request, "stream", SNAPSHOT_SECONDS)

    async def _tile(self, request: Request) -> Response:
        """The newest picture, small. Browsers open six connections to a server, so a page cannot show more streams."""
        return await self._picture(request, "tiles", TILE_SECONDS)

    async def _picture(self, request: Request, kind: str, wait: float) -> Response:
        """One picture. While it is drawn, the client counts as a viewer."""
        channel = self._named(request)
        if isinstance(channel, Response):
            return channel
        end = asyncio.get_running_loop().time() + wait
        with channel.broadcaster.watch(kind):
            while channel.counters.healthy and not self._closing:
                shown, left = channel.broadcaster.shown, end - asyncio.get_running_loop().time()
                if shown is not None and kind in shown.pictures:
                    return Response(shown.pictures[kind], media_type="image/jpeg")
                if left <= 0:
                    break
                await self.bell.wait(left)
        text = f"there is no picture now: the source is {channel.counters.state}; try again later\n"
        return PlainTextResponse(text, 503, headers={"Retry-After": "10"})

    async def _health(self, request: Request) -> Response:
        """Whether all sources are well. One of several that has come to its end is."""
        counters = {name: channel.counters for name, channel in self._channels.items()}
        states = {name: one.state for name, one in counters.items()}
        several = len(states) > 1
        ok = all(one.healthy or (several and states[name] == "ended") for name, one in counters.items())
        ok = ok and set(states.values()) != {"ended"}
        told = several and STRANGER not in request.scope
        return JSONResponse({"ok": ok, **({"sources": states} if told else {})}, 200 if ok else 503)

    async def _metrics(self, request: Request) -> Response:
        sources = {}
        for name, channel in self._channels.items():
            latest = channel.broadcaster.latest
            sources[name] = channel.counters.snapshot(), latest.faces if latest else ()
        labels = self._about["labels"]
        assert isinstance(labels, list)
        viewers = {kind: self._watching(kind) for kind in ("stream", "events")}
        text = prometheus(sources, labels, viewers, self._build)
        return Response(text, media_type="text/plain; version=0.0.4")


def _part(jpeg: bytes) -> bytes:
    """One picture, followed at once by the next boundary: Chromium shows a picture only when it sees its end."""
    head = b"Content-Type: image/jpeg\r\nContent-Length: " + str(len(jpeg)).encode() + b"\r\n\r\n"
    return head + jpeg + b"\r\n--" + BOUNDARY + b"\r\n"


def _event(name: str, data: Mapping[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
