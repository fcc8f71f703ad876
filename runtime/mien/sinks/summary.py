"""Summary of a whole run, person by person: a JSON file and a plot, in bounded memory however long it takes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.drawing.plot import WIDTH, Panel, Series, bar_plot, line_plot, shorten
from mien.errors import OutputError
from mien.files import write_whole
from mien.sinks.paths import Reads, check_output
from mien.types import Affect, Face, Frame

MAX_GAP_SECONDS = 1.0
"""Longer time between two sightings does not count as time in sight, unless the source is slow."""
MAX_TRACKS, MAX_POINTS = 64, 2000
"""Tracks that are listed one by one, and points of each curve; a full curve halves its resolution."""
FINEST_BIN_SECONDS = 0.04
"""Initial duration of a point of a curve."""
MAX_CURVES = 8
"""Tracks in the plot: those that were in sight longest."""


def summary_paths(path: str) -> tuple[Path, Path]:
    """The paths of a summary's JSON and PNG files: ``path``, and the other one beside it.

    OutputError if ``path`` is not the name of a file; stdout cannot take two files.
    """
    target = Path(path)
    if path == "-" or not target.name:
        raise OutputError("a summary is two files, so it needs a file name, such as summary.json")
    is_png = target.suffix.lower() == ".png"
    return (target.with_suffix(".json"), target) if is_png else (target, target.with_suffix(".png"))


def check_summary(path: str, source: Reads) -> None:
    """OutputError if the files of a summary at ``path`` cannot be written, or if ``source`` reads them."""
    for target in summary_paths(path):
        check_output(str(target), source)


class Summary:
    """A sink that summarizes a run. ``close`` writes the files, even if nothing was seen; OutputError if that fails.

    In the JSON file, ``seconds`` is the time watched, without gaps of more than MAX_GAP_SECONDS (or 2.5 frames of a
    slow source), and ``readings`` counts all faces of all frames. For each track, ``seconds`` is the time in sight,
    ``expressions`` the seconds of each expression (which lasts until the next sighting), ``valence`` and ``arousal``
    are means over that time, and ``share`` is the share of all frames.

    Beyond MAX_TRACKS, tracks that ended more than a minute ago are merged into ``others``, the shortest first. Faces
    without a track, such as those in pictures, are only counted in ``readings`` and plotted as counts, and so are faces
    of a model without valence and arousal.
    """

    def __init__(self, path: str, source: str, fps: float | None = None):
        """``path``: see ``summary_paths``. ``source``: its name, which is shown. ``fps``: its frame rate."""
        self._json, self._png = summary_paths(path)
        self._source = source
        self._longest = max(MAX_GAP_SECONDS, 2.5 / (fps or 25.0))
        self._times: tuple[float, float] | None = None
        self._frames, self._seconds = 0, 0.0
        self._readings = _Totals()
        self._tracks: dict[int, _Track] = {}
        self._others, self._merged = _Totals(), 0
        self._closed = False

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        first, last = self._times or (frame.time, frame.time)
        self._seconds += _near(frame.time - last, self._longest)
        self._times = first, frame.time
        self._frames += 1
        for face in faces:
            self._readings.add(face, 0.0)
            if face.track_id is not None:
                if face.track_id not in self._tracks:
                    if len(self._tracks) >= MAX_TRACKS:
                        self._merge(frame.time)
                    self._tracks[face.track_id] = _Track(frame.time, self._longest)
                self._tracks[face.track_id].see(face, frame.time)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        write_whole(self._json, (json.dumps(self.as_dict(), indent=2) + "\n").encode())
        self._plot()

    def as_dict(self) -> dict[str, Any]:
        """The content of the JSON file; times are in s of the source, rounded."""
        first, last = self._times or (None, None)
        tracks = sorted(self._tracks.items(), key=lambda item: (-item[1].sum.seconds, item[0]))
        return {
            "source": self._source,
            "frames": self._frames,
            "first": _round(first),
            "last": _round(last),
            "seconds": _round(self._seconds),
            "readings": self._readings.as_dict(counts=True),
            "tracks": [{"track": number} | track.as_dict(self._frames) for number, track in tracks],
            "others": {"tracks": self._merged} | self._others.as_dict() if self._merged else None,
        }

    def _merge(self, now: float) -> None:
        """Make room: merge the shortest of the tracks that ended more than a minute ago or, if there is none, the one
        that ended first."""
        gone = [number for number, track in self._tracks.items() if now - track.last > 60]
        if gone:
            number = min(gone, key=lambda number: self._tracks[number].sum.seconds)
        else:
            number = min(self._tracks, key=lambda number: self._tracks[number].last)
        self._others.merge(self._tracks.pop(number).sum)
        self._merged += 1

    def _plot(self) -> None:
        name = shorten(Path(self._source).name or self._source, 0.3 * WIDTH)
        if self._readings.faces and not (self._tracks and self._readings.felt):
            rows = [(label, float(count), None) for label, count in self._readings.counts.most_common()]
            bar_plot(rows, self._png, title=f"Expressions of {self._readings.faces} faces: {name}", unit="")
            return
        longest = sorted(self._tracks, key=lambda number: -self._tracks[number].sum.seconds)[:MAX_CURVES]
        every = len(self._tracks) + self._merged
        which = f", the {len(longest)} of {every} people seen longest" if every > len(longest) else ""
        if not every:
            which = ", no face seen"
        curves = {f"#{number}": self._tracks[number].curve.points() for number in sorted(longest)}
        panels = [
            Panel(kind, -1, 1, [Series(label, points[0], points[row]) for label, points in curves.items()])
            for row, kind in ((1, "valence"), (2, "arousal"))
        ]
        line_plot(panels, self._png, title=f"Valence and arousal: {name}{which}")


class _Totals:
    """Seconds and counts of each expression, and sums of affect over time and over sightings."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.times: dict[str, float] = {}
        self.plain = self.timed = (0.0, 0.0)
        self.faces, self.seconds, self.felt = 0, 0.0, False

    def add(self, face: Face, lasted: float, before: Face | None = None) -> None:
        """Add a sighting; ``before`` was seen during the ``lasted`` seconds until now."""
        self.faces += 1
        self.counts[face.expression.label] += 1
        self.felt = self.felt or face.affect is not None
        self.plain = _plus(self.plain, face.affect, 1.0)
        if before is not None and lasted > 0:
            self.seconds += lasted
            label = before.expression.label
            self.times[label] = self.times.get(label, 0.0) + lasted
            self.timed = _plus(self.timed, before.affect, lasted)

    def merge(self, other: _Totals) -> None:
        self.counts.update(other.counts)
        for label, lasted in other.times.items():
            self.times[label] = self.times.get(label, 0.0) + lasted
        self.plain = _plus(self.plain, Affect(*other.plain), 1.0)
        self.timed = _plus(self.timed, Affect(*other.timed), 1.0)
        self.faces, self.felt = self.faces + other.faces, self.felt or other.felt
        self.seconds += other.seconds

    def as_dict(self, *, counts: bool = False) -> dict[str, Any]:
        """Means over time or, with ``counts`` or if no time passed, over sightings; None if there are none, or for a
        model without valence and arousal."""
        timed = self.seconds > 0 and not counts
        total, weight = (self.timed, self.seconds) if timed else (self.plain, self.faces)
        valence, arousal = (_round(value / weight) if weight and self.felt else None for value in total)
        shown: dict[str, Any] = dict(self.counts) if counts else self.times
        return {
            "faces": self.faces,
            **({} if counts else {"seconds": _round(self.seconds)}),
            "expressions": {name: _round(shown[name]) for name in sorted(shown, key=lambda name: (-shown[name], name))},
            "valence": valence,
            "arousal": arousal,
        }


class _Track:
    def __init__(self, time: float, longest: float):
        self.sum, self.curve = _Totals(), _Curve(longest)
        self._longest = longest
        self.first = self.last = time
        self._before: Face | None = None

    def see(self, face: Face, time: float) -> None:
        self.sum.add(face, _near(time - self.last, self._longest), self._before)
        if face.affect is not None:
            self.curve.add(time, face.affect.valence, face.affect.arousal)
        self.last, self._before = time, face

    def as_dict(self, frames: int) -> dict[str, Any]:
        values = self.sum.as_dict()
        seen = {"first_seen": _round(self.first), "last_seen": _round(self.last), "frames": values.pop("faces")}
        return seen | {"share": _round(self.sum.faces / max(1, frames))} | values


class _Curve:
    """Means of valence and arousal in equal time bins, whose width doubles whenever there are too many."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._numbers = np.zeros(MAX_POINTS, dtype=np.int64)
        self._sums = np.zeros((MAX_POINTS, 4))  # readings, and their sums of time, valence and arousal
        self._used, self._wide, self._last = 0, FINEST_BIN_SECONDS, 0

    def add(self, time: float, valence: float, arousal: float) -> None:
        number = int(time // self._wide)
        if self._used == 0 or number > self._last:
            if self._used == MAX_POINTS:
                self._halve()
                self.add(time, valence, arousal)
                return
            self._numbers[self._used] = self._last = number
            self._used += 1
        self._sums[self._used - 1] += 1.0, time, valence, arousal

    def points(self) -> np.ndarray:
        """(3, N): time, valence and arousal, with NaN while the track was out of sight."""
        sums = self._sums[: self._used]
        values = sums[:, 1:] / sums[:, :1]
        gaps = np.flatnonzero(np.diff(values[:, 0]) > max(self._longest, 2.5 * self._wide)) + 1
        away = np.column_stack([values[gaps - 1, 0], np.full((len(gaps), 2), np.nan)])
        return np.asarray(np.insert(values, gaps, away, axis=0).T)

    def _halve(self) -> None:
        numbers, starts = np.unique(self._numbers[: self._used] // 2, return_index=True)
        sums = np.add.reduceat(self._sums[: self._used], starts, axis=0)
        self._numbers[:], self._sums[:] = 0, 0
        self._used, self._wide, self._last = len(numbers), 2 * self._wide, int(numbers[-1])
        self._numbers[: self._used], self._sums[: self._used] = numbers, sums


def _plus(sums: tuple[float, float], affect: Affect | None, weight: float) -> tuple[float, float]:
    if affect is None:
        return sums
    return sums[0] + weight * affect.valence, sums[1] + weight * affect.arousal


def _near(step: float, longest: float) -> float:
    return step if 0 < step <= longest else 0.0


def _round(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, 4)
