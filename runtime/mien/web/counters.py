"""Counters of the live page: frames, faces, rate, latency; also in Prometheus' format."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Protocol

from mien.types import Face

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


class Counters:
    """Counters of one run. Written by the thread that recognizes, read by any."""

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

    def prometheus(
        self, faces: Sequence[Face], labels: Sequence[str], viewers: Mapping[str, int], build: Mapping[str, str]
    ) -> str:
        """All counters in Prometheus' text format 0.0.4. ``faces``: those in sight now."""
        now = Counter(face.expression.label for face in faces)
        with self._lock:
            frames, seen, total = self._frames, self._faces, self._latency_sum
            buckets = list(self._buckets)
        state = self.state
        text = _metric("mien_frames_total", "counter", "Frames read.", [("", frames)])
        text += _metric("mien_faces_total", "counter", "Faces read, over all frames.", [("", seen)])
        dropped = self._source.dropped
        text += _metric("mien_frames_dropped_total", "counter", "Frames passed over to stay live.", [("", dropped)])
        text += _metric("mien_frames_per_second", "gauge", "Frames read a second, now.", [("", round(self.fps(), 3))])
        text += _metric("mien_silence_seconds", "gauge", "Time since the last frame.", [("", round(self.silence, 3))])
        text += _metric("mien_source_up", "gauge", "1 while the source gives frames.", [("", int(state == "open"))])
        by_label = [(_label("expression", label), now[label]) for label in dict.fromkeys([*labels, *now])]
        text += _metric("mien_faces", "gauge", "Faces in sight now, by expression.", by_label)
        by_kind = [(_label("kind", kind), count) for kind, count in viewers.items()]
        text += _metric("mien_viewers", "gauge", "Open connections of viewers.", by_kind)
        pairs = ",".join(_label(key, value)[1:-1] for key, value in build.items())
        text += _metric("mien_build_info", "gauge", "What runs; always 1.", [(f"{{{pairs}}}", 1)])
        return text + _histogram(buckets, total)


def _metric(name: str, kind: str, help_text: str, samples: Sequence[tuple[str, float]]) -> str:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    return "\n".join([*lines, *(f"{name}{labels} {value}" for labels, value in samples)]) + "\n"


def _histogram(buckets: Sequence[int], total: float) -> str:
    name, count = "mien_latency_seconds", 0
    lines = [f"# HELP {name} From the arrival of a frame to its written results.", f"# TYPE {name} histogram"]
    for edge, number in zip((*map(str, LATENCY_BUCKETS_SECONDS), "+Inf"), buckets, strict=True):
        count += number
        lines.append(f'{name}_bucket{{le="{edge}"}} {count}')
    return "\n".join([*lines, f"{name}_sum {total:.6f}", f"{name}_count {count}"]) + "\n"


def _label(key: str, value: str) -> str:
    clean = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{{{key}="{clean}"}}'
