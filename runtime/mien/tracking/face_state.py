"""One face over time: its expression without the flicker of single frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mien.enrollment.neutral import Baseline
from mien.tracking.smoothing import Average, OneEuro, cutoff
from mien.types import Affect, Detection, Face
from mien.vision.expression import Labeling

AFFECT_BETA = 1.0
"""How much a change of valence or arousal of 1 per second raises the filter's cutoff, in Hz."""
POSITION_BETA = 10.0
"""How much a motion of one face side per second raises the cutoff for boxes and landmarks, in Hz."""

LABEL_LEAD = 0.1
"""How much more likely another class must be before the label changes: without it, two equally likely classes would
alternate."""
AFTER_ENCODER = 0.4
"""Share of the smoothing that is still applied to the probabilities of a temporal encoder: without any, labels on a
real clip flickered as much as those of single frames."""
FIRST_STEP_SECONDS = 1e-6
"""Duration that the first frame of a track counts for."""


class FaceState:
    """Smooths the values of one track: probabilities with an average, affect and positions with One-Euro filters."""

    def __init__(self, smoothing: float, baseline: float):
        """``smoothing``: time constant in s, 0 for none. ``baseline``: seconds at rest at the start, 0 for none."""
        self.face: Face | None = None
        self._smoothing = smoothing
        self._probabilities = Average(smoothing)
        self._encoded_probabilities = Average(AFTER_ENCODER * smoothing)
        self._affect = OneEuro(cutoff(smoothing), AFFECT_BETA)
        self._place = OneEuro(2 * cutoff(smoothing), POSITION_BETA)
        self._leader: str | None = None
        self._side = 0.0
        self._last_seen: float | None = None
        self._rest = BaselineLearner(baseline) if baseline else None

    def smooth_position(self, found: Detection, now: float) -> tuple[Detection, float]:
        """The position of the face at ``now`` s, which increases from call to call, without the detector's jitter.

        Also returns the seconds since the last call, for ``update``. The next call may come before that ``update``.
        """
        step = FIRST_STEP_SECONDS if self._last_seen is None else max(now - self._last_seen, FIRST_STEP_SECONDS)
        self._last_seen = now
        if not self._smoothing:
            return found, step
        # In sides of the face, so that near and far faces are treated alike.
        self._side = self._side or max(float((found.box[2:] - found.box[:2]).mean()), 1.0)
        points = np.zeros((5, 2), np.float32) if found.landmarks is None else found.landmarks
        both = np.concatenate([found.box, points.ravel()]) / self._side
        smoothed = (self._place.update(both, step) * self._side).astype(np.float32)
        landmarks = None if found.landmarks is None else smoothed[4:].reshape(5, 2)
        return Detection(smoothed[:4], landmarks, found.score), step

    def update(
        self,
        raw: Face,
        place: Detection,
        step: float,
        labeling: Labeling,
        reading: tuple[Mapping[str, float], Affect | None] | None = None,
    ) -> Face:
        """The smoothed face, from the prediction for this frame alone and what ``smooth_position`` returned.

        ``reading``: output of a temporal encoder for this and earlier frames, which replaces the filters.
        """
        all_probabilities, affect = reading or (raw.expression.probabilities, raw.affect)
        probabilities: Mapping[str, float] = labeling.without_excluded(all_probabilities)
        baseline = self._rest.update(probabilities, affect, step) if self._rest else None
        if baseline:
            probabilities, affect = baseline.correct(probabilities), affect and baseline.shift(affect)
        if self._smoothing:
            average = self._encoded_probabilities if reading else self._probabilities
            values = average.update(list(probabilities.values()), step)
            probabilities = dict(zip(probabilities, values.tolist(), strict=True))
        if affect and self._smoothing and not reading:
            affect = Affect(*self._affect.update([affect.valence, affect.arousal], step).tolist())
        if self._smoothing or reading:
            self._leader = max(
                probabilities, key=lambda label: probabilities[label] + LABEL_LEAD * (label == self._leader)
            )
        expression = labeling.expression(probabilities, self._leader)
        self.face = replace(
            raw, box=place.box, landmarks=place.landmarks, expression=expression, affect=affect, raw=raw
        )
        return self.face


class BaselineLearner:
    """Learns a person's baseline from the first ``seconds`` of a track."""

    def __init__(self, seconds: float):
        self._left = seconds
        self._sum: np.ndarray | float = 0.0
        self._weight = 0.0
        self._baseline: Baseline | None = None

    def update(self, named: Mapping[str, float], affect: Affect | None, step: float) -> Baseline | None:
        """None until the time is over. A frame counts for at most 0.1 s, also after a gap."""
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
