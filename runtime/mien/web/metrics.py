"""The counters of the live page in Prometheus' text format 0.0.4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mien.types import Face
from mien.web.counters import LATENCY_BUCKETS_SECONDS, Snapshot

GAUGES = (
    ("frames_total", "counter", "Frames read.", lambda at: at.frames),
    ("faces_total", "counter", "Faces read, over all frames.", lambda at: at.faces),
    ("frames_dropped_total", "counter", "Frames passed over to stay live.", lambda at: at.dropped),
    ("frames_per_second", "gauge", "Frames read a second, now.", lambda at: round(at.fps, 3)),
    ("silence_seconds", "gauge", "Time since the last frame.", lambda at: round(at.silence, 3)),
    ("source_up", "gauge", "1 while the source gives frames.", lambda at: int(at.up)),
)
"""Metrics with one value for each source: name, type, meaning, value."""

Sample = tuple[str, Mapping[str, str], float]
"""Suffix of the name, labels and value."""


def prometheus(
    sources: Mapping[str, tuple[Snapshot, Sequence[Face]]],
    labels: Sequence[str],
    viewers: Mapping[str, int],
    build: Mapping[str, str],
) -> str:
    """All metrics, with the label ``source`` if there are several.

    Args:
        sources: By name, the counters, and the faces in sight now.
        labels: Classes, each of which gets a sample even if no face shows it.
        viewers: Open connections by kind.
        build: What runs.
    """
    own = {name: {"source": name} if len(sources) > 1 else {} for name in sources}
    text = ""
    for name, kind, meaning, value in GAUGES:
        text += _metric(name, kind, meaning, [("", own[key], value(at)) for key, (at, _) in sources.items()])
    by_label: list[Sample] = []
    for key, (_, faces) in sources.items():
        now = Counter(face.expression.label for face in faces)
        by_label += [("", {**own[key], "expression": label}, now[label]) for label in dict.fromkeys([*labels, *now])]
    text += _metric("faces", "gauge", "Faces in sight now, by expression.", by_label)
    by_kind: list[Sample] = [("", {"kind": kind}, count) for kind, count in viewers.items()]
    text += _metric("viewers", "gauge", "Open connections of viewers.", by_kind)
    text += _metric("build_info", "gauge", "What runs; always 1.", [("", build, 1)])
    latencies = [sample for key, (at, _) in sources.items() for sample in _histogram(at, own[key])]
    return text + _metric(
        "latency_seconds", "histogram", "From the arrival of a frame to its written results.", latencies
    )


def _histogram(at: Snapshot, own: Mapping[str, str]) -> list[Sample]:
    samples: list[Sample] = []
    count = 0
    for edge, number in zip((*map(str, LATENCY_BUCKETS_SECONDS), "+Inf"), at.buckets, strict=True):
        count += number
        samples.append(("_bucket", {**own, "le": edge}, count))
    return [*samples, ("_sum", own, round(at.latency, 6)), ("_count", own, count)]


def _metric(name: str, kind: str, meaning: str, samples: Sequence[Sample]) -> str:
    lines = [f"# HELP mien_{name} {meaning}", f"# TYPE mien_{name} {kind}"]
    for suffix, labels, value in samples:
        pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"mien_{name}{suffix}{f'{{{pairs}}}' if pairs else ''} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
