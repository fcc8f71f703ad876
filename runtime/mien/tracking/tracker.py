"""Assigns detections over time to tracks with stable ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mien.align import roll
from mien.types import Detection, Floats

MAX_DISTANCE = 0.6
"""How far a face may be from where it was expected, in sides of the face; grows while it is out of sight."""
MAX_GROWTH = 0.35
"""Largest change of size from one sighting to the next, as a difference of logarithms; grows likewise."""
SPEED_SECONDS, COAST_SECONDS = 0.15, 0.5
"""Time over which a speed is averaged, and over which a hidden face is assumed to come to rest."""
YOUNG_SIGHTINGS, YOUNG_GAP_SECONDS = 3, 0.15
"""A track with fewer sightings than this ends after this time out of sight, or after one frame of a slow source: it was
probably not a face, or only part of one."""


@dataclass(eq=False)
class Track:
    """One face over time. ``detection``: the last one; ``seen``: its time in s; ``missing``: seconds since then.
    ``times``: number of sightings.

    ``speed``: (2,) px/s of its middle, and ``size``: (2,) px of its box, both from when no other face was close.
    ``id`` counts from 1 and is never used twice by one tracker.
    """

    id: int
    detection: Detection
    seen: float
    size: Floats
    missing: float = 0.0
    times: int = 1
    speed: Floats = field(default_factory=lambda: np.zeros(2, np.float32))

    @property
    def angle(self) -> float:
        """The angle by which the face was last turned (``mien.align.roll``), in radians; 0 if unknown."""
        return 0.0 if self.detection.landmarks is None else roll(self.detection.landmarks)

    def expected(self, ahead: float = 0.0) -> Floats:
        """The box (4,) where the face should be ``ahead`` s from now, if it keeps moving and soon comes to rest."""
        glide = COAST_SECONDS * (1 - np.exp(-(self.missing + ahead) / COAST_SECONDS))
        center = _middle(self.detection.box) + self.speed * np.float32(glide)
        return np.concatenate([center - self.size / 2, center + self.size / 2])


class Tracker:
    """Assigns each detection to the track that it continues, or to a new one.

    The nearest pairs are matched first, by the distance from where each face was expected, in sides of the face, and by
    the change of size. Appearance is not used. A track that is out of sight for more than ``max_gap`` seconds ends.
    """

    def __init__(self, max_gap: float = 1.0):
        self.max_gap = max_gap
        self.tracks: list[Track] = []
        self._now = 0.0
        self._next = 1

    def update(self, detections: Sequence[Detection], step: float) -> list[Track | None]:
        """The track of each detection, in the same order. ``step``: seconds since the last call, above 0.

        None for a detection inside a known face: it is a duplicate, or part of a person behind.
        """
        self._now += step
        for track in self.tracks:
            track.missing = self._now - track.seen
        self.tracks = [track for track in self.tracks if track.missing <= self._patience(track, step)]
        pairs = self._pairs(detections)
        for i, track in pairs.items():
            others = [other.box for j, other in enumerate(detections) if j != i]
            _move(track, detections[i], others, self._now)
        known = [track.detection.box for track in pairs.values()]
        return [
            pairs.get(i) or (None if any(_inside(found.box, box) for box in known) else self._new(found))
            for i, found in enumerate(detections)
        ]

    def _patience(self, track: Track, step: float) -> float:
        if track.times >= YOUNG_SIGHTINGS:
            return self.max_gap
        return min(self.max_gap, max(YOUNG_GAP_SECONDS, 1.001 * step))

    def _new(self, detection: Detection) -> Track:
        size = np.asarray(detection.box[2:] - detection.box[:2], dtype=np.float32)
        track = Track(self._next, detection, self._now, size)
        self._next += 1
        self.tracks.append(track)
        return track

    def _pairs(self, detections: Sequence[Detection]) -> dict[int, Track]:
        """Detection index -> track, the nearest pairs first."""
        found = [_Place.of(detection.box) for detection in detections]
        costs = sorted(
            (cost, i, j)
            for j, track in enumerate(self.tracks)
            for expected, last in [(_Place.of(track.expected()), _side(track.detection.box))]
            for i, place in enumerate(found)
            if (cost := _distance(place, expected, last, track.missing)) is not None
        )
        pairs: dict[int, Track] = {}
        taken: set[int] = set()
        for _, i, j in costs:
            if i not in pairs and j not in taken:
                pairs[i] = self.tracks[j]
                taken.add(j)
        return pairs


class _Place(NamedTuple):
    """Where a box is: its middle (2,) and side, in px."""

    middle: Floats
    side: float

    @classmethod
    def of(cls, box: Floats) -> _Place:
        return cls(_middle(box), _side(box))


def _distance(found: _Place, expected: _Place, last: float, missing: float) -> float | None:
    """How badly a detection fits a track; None if it cannot be the same face. ``last``: side when it was last seen."""
    here, whole = found.side, expected.side
    growth = min(abs(float(np.log(here / whole))), abs(float(np.log(here / last))))
    away = float(np.hypot(*(found.middle - expected.middle))) / max(here, whole)
    if away > MAX_DISTANCE + missing or growth > MAX_GROWTH + missing:
        return None
    # If one face hides another, the detection belongs to the one that was in sight until now.
    return away + growth + missing


def _move(track: Track, detection: Detection, others: Sequence[Floats], now: float) -> None:
    old, new = track.detection.box, detection.box
    if not any(_touch(new, box) for box in others):  # otherwise part of it may be covered, and the box too small
        time = max(now - track.seen, 1e-3)
        share = np.float32(1 - np.exp(-time / SPEED_SECONDS))
        track.speed = track.speed + share * ((_middle(new) - _middle(old)) / np.float32(time) - track.speed)
        track.size = track.size + share * (new[2:] - new[:2] - track.size)
    track.detection, track.seen, track.missing, track.times = detection, now, 0.0, track.times + 1


def _middle(box: Floats) -> Floats:
    return np.asarray((box[:2] + box[2:]) / 2, dtype=np.float32)


def _side(box: Floats) -> float:
    return max(float((box[2:] - box[:2]).mean()), 1.0)


def _inside(box: Floats, other: Floats) -> bool:
    """Whether the middle of a box is inside another one."""
    middle = _middle(box)
    return bool((middle > other[:2]).all() and (middle < other[2:]).all())


def _touch(box: Floats, other: Floats) -> bool:
    """Whether two boxes overlap, or are so close that hair or a shoulder may cover the other face."""
    margin = 0.5 * _side(box)
    return bool((box[:2] - margin < other[2:]).all() and (box[2:] + margin > other[:2]).all())
