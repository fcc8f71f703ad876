"""Counters of one source on the live page: frames, faces, rate, latency."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from threading import Lock
from typing import NamedTuple, Protocol

SILENCE_SECONDS = 10.0
"""After this time without a frame an open source counts as stuck; a slow source, after the time of three frames."""
RATE_SECONDS = 2.0
"""Time over which frame rate and latency are measured."""
LATENCY_BUCKETS_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the latency histogram."""


class Watched(Protocol):
    """What the live page reads from a source, on any thread. ``state``: open, lost or ended."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def dropped(self) -> int: ...
    @property
    def fps(self) -> float | None: ...


class Snapshot(NamedTuple):
    """What the counters were at one moment. ``buckets``: counts of latencies between the bounds of the histogram;
    ``latency``: their sum in s."""

    frames: int
    faces: int
    dropped: int
    fps: float
    silence: float
    up: bool
    buckets: list[int]
    latency: float


class Counters:
    """Counters of one source. Written by the thread that recognizes, read by any."""

    def __init__(self, source: Watched):
        self._source = source
        self._lock = Lock()
        self._started = time.monotonic()
        self._frames = self._faces = 0
        self._stamps: deque[float] = deque(maxlen=512)
        self._latencies: deque[tuple[float, float]] = deque(maxlen=512)
        self._buckets = [0] * (len(LATENCY_BUCKETS_SECONDS) + 1)
        self._latency_sum = 0.0

    def frame(self, faces: int) -> None:
        with self._lock:
            self._frames += 1
            self._faces += faces
            self._stamps.append(time.monotonic())

    def latency(self, seconds: float) -> None:
        with self._lock:
            self._buckets[bisect_left(LATENCY_BUCKETS_SECONDS, seconds)] += 1
            self._latency_sum += seconds
            self._latencies.append((time.monotonic(), seconds))

    @property
    def silence(self) -> float:
        """Seconds since the last frame or, before the first, since the start."""
        with self._lock:
            return time.monotonic() - (self._stamps[-1] if self._stamps else self._started)

    @property
    def state(self) -> str:
        """State of the source: waiting (no frame yet), open, stuck (open but silent), lost or ended."""
        state = self._source.state
        if state != "open":
            return state
        if not self._frames:
            return "waiting"
        return "stuck" if self.silence > self._patience else "open"

    @property
    def healthy(self) -> bool:
        """Whether frames arrive or, just after the start, may still arrive."""
        state = self.state
        return state == "open" or (state == "waiting" and self.silence < self._patience)

    @property
    def _patience(self) -> float:
        fps = self._source.fps
        return max(SILENCE_SECONDS, 3 / fps) if fps and fps < 1 else SILENCE_SECONDS

    def status(self) -> dict[str, object]:
        """The status that is part of every event. ``latency_ms`` is the median, None if none was reported."""
        latency = self._median_latency()
        return {
            "state": self.state,
            "fps": round(self.fps(), 2),
            "latency_ms": None if latency is None else round(1000 * latency, 1),
            "dropped": self._source.dropped,
        }

    def fps(self) -> float:
        """Frames per second over the last two seconds; 0 if none came in that time."""
        since = time.monotonic() - RATE_SECONDS
        with self._lock:
            recent = [stamp for stamp in self._stamps if stamp >= since]
        span = recent[-1] - recent[0] if recent else 0.0
        return (len(recent) - 1) / span if span > 0 else 0.0

    def _median_latency(self) -> float | None:
        since = time.monotonic() - RATE_SECONDS
        with self._lock:
            recent = sorted(seconds for stamp, seconds in self._latencies if stamp >= since)
        return recent[len(recent) // 2] if recent else None

    def snapshot(self) -> Snapshot:
        """All counters as they are now."""
        with self._lock:
            frames, faces, total, buckets = self._frames, self._faces, self._latency_sum, list(self._buckets)
        return Snapshot(
            frames, faces, self._source.dropped, self.fps(), self.silence, self.state == "open", buckets, total
        )
