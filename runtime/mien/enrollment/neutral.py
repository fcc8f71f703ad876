"""A person's face at rest: what to take off, since some faces look sad or cross when they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mien.types import Affect

REST = 0.8
"""Probability of neutral that a face at rest is taken to deserve; the others share the remainder."""
STRONGEST = 8.0
"""A probability is corrected by at most this factor, so that no expression becomes unreachable."""


@dataclass(frozen=True)
class Baseline:
    """How a person looks at rest, as the model sees it: mean ``probabilities`` by class, and mean ``affect``, which is
    None where the model tells none."""

    probabilities: Mapping[str, float]
    affect: Affect | None

    def correct(self, probabilities: Mapping[str, float]) -> dict[str, float]:
        """Probabilities with the habit of this face divided out (Bayes' rule with another prior); they sum to 1."""
        if "neutral" not in probabilities or len(probabilities) < 2:
            return dict(probabilities)
        rest = (1 - REST) / (len(probabilities) - 1)
        made = {}
        for label, value in probabilities.items():
            wanted = REST if label == "neutral" else rest
            factor = wanted / max(self.probabilities.get(label, rest), 1e-6)
            made[label] = value * float(np.clip(factor, 1 / STRONGEST, STRONGEST))
        total = sum(made.values())
        return {label: value / total for label, value in made.items()} if total > 0 else dict(probabilities)

    def shift(self, affect: Affect) -> Affect:
        """Valence and arousal from this person's rest, in [-1, 1]."""
        if self.affect is None:
            return affect
        valence = float(np.clip(affect.valence - self.affect.valence, -1, 1))
        return Affect(valence, float(np.clip(affect.arousal - self.affect.arousal, -1, 1)))
