"""One face over time: what it shows, without the flicker of single frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mien.enrollment.neutral import Baseline
from mien.tracking.smoothing import Average, OneEuro, cutoff
from mien.types import Affect, Detection, Face
from mien.vision.expression import Labeling

AFFECT_BETA = 1.0
"""How far a change of valence or arousal of 1 a second raises the filter's cutoff, in Hz."""
PLACE_BETA = 10.0
"""How far a motion of one face side a second raises the cutoff for boxes and landmarks, in Hz."""

LEAD = 0.1
"""By how much another class must be likelier before the label changes: without it, two that are level take turns."""
AFTER_ENCODER = 0.4
"""Share of the smoothing that is left for probabilities which a temporal encoder read: without any, labels on a real
clip flickered as much as those of single frames."""
FIRST = 1e-6
"""Seconds that the first frame of a track stands for."""


class Person:
    """Smooths the readings of one track: probabilities by an average, affect and places by One-Euro filters."""

    def __init__(self, smoothing: float, baseline: float):
        """``smoothing``: time constant in s, 0 for none. ``baseline``: s that show the person at rest, 0 for none."""
        self.face: Face | None = None
        self._smoothing = smoothing
        self._probabilities = Average(smoothing)
        self._read_probabilities = Average(AFTER_ENCODER * smoothing)
        self._affect = OneEuro(cutoff(smoothing), AFFECT_BETA)
        self._place = OneEuro(2 * cutoff(smoothing), PLACE_BETA)
        self._leader: str | None = None
        self._side = 0.0
        self._seen: float | None = None
        self._rest = Rest(baseline) if baseline else None

    def settle(self, found: Detection, now: float) -> tuple[Detection, float]:
        """Where the face is at ``now`` s, which rises from call to call, without the tremble of the detector.

        Also the seconds since the last call, for ``update``. The next call may come before that one.
        """
        step = FIRST if self._seen is None else max(now - self._seen, FIRST)
        self._seen = now
        if not self._smoothing:
            return found, step
        # In face sides, so that it works alike for near and far faces.
        self._side = self._side or max(float((found.box[2:] - found.box[:2]).mean()), 1.0)
        points = np.zeros((5, 2), np.float32) if found.landmarks is None else found.landmarks
        both = np.concatenate([found.box, points.ravel()]) / self._side
        settled = (self._place.update(both, step) * self._side).astype(np.float32)
        landmarks = None if found.landmarks is None else settled[4:].reshape(5, 2)
        return Detection(settled[:4], landmarks, found.score), step

    def update(
        self,
        raw: Face,
        place: Detection,
        step: float,
        labeling: Labeling,
        reading: tuple[Mapping[str, float], Affect | None] | None = None,
    ) -> Face:
        """What this frame alone shows, and what ``settle`` made of its place and time -> the smoothed face.

        ``reading``: what a temporal encoder made of it and of earlier frames, in place of the filters.
        """
        everything, affect = reading or (raw.expression.probabilities, raw.affect)
        probabilities: Mapping[str, float] = labeling.kept(everything)
        baseline = self._rest.update(probabilities, affect, step) if self._rest else None
        if baseline:
            probabilities, affect = baseline.correct(probabilities), affect and baseline.shift(affect)
        if self._smoothing:
            average = self._read_probabilities if reading else self._probabilities
            values = average.update(list(probabilities.values()), step)
            probabilities = dict(zip(probabilities, values.tolist(), strict=True))
        if affect and self._smoothing and not reading:
            affect = Affect(*self._affect.update([affect.valence, affect.arousal], step).tolist())
        if self._smoothing or reading:
            self._leader = max(probabilities, key=lambda label: probabilities[label] + LEAD * (label == self._leader))
        expression = labeling.expression(probabilities, self._leader)
        self.face = replace(
            raw, box=place.box, landmarks=place.landmarks, expression=expression, affect=affect, raw=raw
        )
        return self.face


class Rest:
    """Learns the baseline of a person from the first ``seconds`` of a track."""

    def __init__(self, seconds: float):
        self._left = seconds
        self._sum: np.ndarray | float = 0.0
        self._weight = 0.0
        self._baseline: Baseline | None = None

    def update(self, named: Mapping[str, float], affect: Affect | None, step: float) -> Baseline | None:
        """None until the time is over. A gap counts as little: at most a tenth of a second a frame."""
        if self._left > 0:
            weight = min(step, 0.1)
            pair = (affect.valence, affect.arousal) if affect else ()
            self._sum = self._sum + weight * np.array([*named.values(), *pair])
            self._weight += weight
            self._left -= weight
            if self._left <= 0:
                mean = (self._sum / self._weight).tolist()
                count = len(named)
                felt = Affect(*mean[count:]) if affect else None
                self._baseline = Baseline(dict(zip(named, mean[:count], strict=True)), felt)
        return self._baseline
