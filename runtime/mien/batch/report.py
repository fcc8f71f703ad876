"""What is said at the end of a run: a JSON file, a plot and a line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mien.batch.rows import DONE, FAILED, Row
from mien.drawing.plot import bar_plot
from mien.files import write_whole

SUMMARY, PLOT = "summary.json", "summary.png"
MAX_ERRORS = 20
"""Errors that are listed in the summary; the index has all."""


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Figures of all inputs that a folder of results knows. ``valence`` and ``arousal`` are means over all faces."""
    done = [row for row in rows if row.state == DONE]
    failed = sorted((row for row in rows if row.state == FAILED), key=lambda row: row.input)
    expressions: Counter[str] = Counter()
    for row in done:
        expressions.update(row.expressions)
    return {
        "inputs": len(rows),
        "done": len(done),
        "failed": len(failed),
        "with warnings": sum(bool(row.warnings) for row in done),
        "size": sum(row.size or 0 for row in rows),
        "frames": sum(row.frames for row in done),
        "faces": sum(row.faces for row in done),
        "seconds of video": round(sum(row.seconds for row in done), 1),
        "expressions": dict(sorted(expressions.items(), key=lambda entry: (-entry[1], entry[0]))),
        "valence": _mean((row.valence, row.faces) for row in done),
        "arousal": _mean((row.arousal, row.faces) for row in done),
        "errors": {row.input: row.error for row in failed[:MAX_ERRORS]},
    }


def write_summary(folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """Write the summary and its plot into ``folder``, and return it. OutputError if that fails."""
    found = summary(rows)
    write_whole(folder / SUMMARY, (json.dumps(found, indent=2) + "\n").encode())
    bars = [(label, float(count), None) for label, count in found["expressions"].items()]
    title = f"Expressions of {found['faces']:,} faces in {found['done']:,} pictures and videos"
    bar_plot(bars, folder / PLOT, title=title, unit="")
    return found


def in_words(found: dict[str, Any]) -> str:
    """The summary as a line."""
    hours = found["seconds of video"] / 3600
    video = f", {hours:.1f} h of video" if hours >= 0.1 else ""
    faces = found["faces"]
    shares = ", ".join(f"{label} {count / faces:.0%}" for label, count in list(found["expressions"].items())[:3])
    text = f"{found['done']:,} inputs read, {found['failed']:,} failed; {found['frames']:,} frames{video}"
    text += f", {faces:,} faces"
    return f"{text}: {shares}" if faces else text


def _mean(values: Iterable[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in values if value is not None]
    total = sum(weight for _, weight in known)
    return round(sum(value * weight for value, weight in known) / total, 4) if total else None
