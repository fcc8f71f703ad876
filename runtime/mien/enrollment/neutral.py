"""A person's face at rest, which is subtracted because some faces look sad or cross when they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mien.types import Affect

NEUTRAL_AT_REST = 0.8
"""Probability of neutral that a face at rest should get; the other classes share the remainder."""
MAX_CORRECTION = 8.0
"""A probability is corrected by at most this factor, so that no expression becomes unreachable."""


@dataclass(frozen=True)
class Baseline:
    """How a person looks at rest, according to the model: mean ``probabilities`` by class, and mean ``affect``.

    ``affect`` is None for a model without valence and arousal.
    """

    probabilities: Mapping[str, float]
    affect: Affect | None

    def correct(self, probabilities: Mapping[str, float]) -> dict[str, float]:
        """Probabilities with the habit of this face divided out (Bayes' rule with a changed prior); they sum to 1."""
        if "neutral" not in probabilities or len(probabilities) < 2:
            return dict(probabilities)
        rest = (1 - NEUTRAL_AT_REST) / (len(probabilities) - 1)
        corrected = {}
        for label, value in probabilities.items():
            wanted = NEUTRAL_AT_REST if label == "neutral" else rest
            factor = wanted / max(self.probabilities.get(label, rest), 1e-6)
            corrected[label] = value * float(np.clip(factor, 1 / MAX_CORRECTION, MAX_CORRECTION))
        total = sum(corrected.values())
        return {label: value / total for label, value in corrected.items()} if total > 0 else dict(probabilities)

    def shift(self, affect: Affect) -> Affect:
        """Valence and arousal relative to this person's face at rest, in [-1, 1]."""
        if self.affect is None:
            return affect
        valence = float(np.clip(affect.valence - self.affect.valence, -1, 1))
        return Affect(valence, float(np.clip(affect.arousal - self.affect.arousal, -1, 1)))
