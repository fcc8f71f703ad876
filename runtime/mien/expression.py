"""Crops -> expression, affect and embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from mien.card import ModelCard
from mien.engines import Engine
from mien.errors import ModelInvalid
from mien.faces import Affect, Expression, Floats, Image

Reading: TypeAlias = tuple[Expression, Affect, Floats]
"""What the model tells of one crop; the last is the embedding (D,)."""
OUTPUTS = ("expression", "affect", "embedding")
UNCERTAIN = "uncertain"
"""The label of an expression whose probability is lower than what was asked for."""


class ExpressionModel:
    """The student on an engine. Stateless after construction, so threads may share it."""

    def __init__(self, card: ModelCard, engine: Engine, min_confidence: float = 0.0):
        """Expressions less likely than ``min_confidence`` are labelled UNCERTAIN.

        Runs one blank crop, so that a model that does not fit its card fails here and not on the first face.
        """
        self.card = card
        self.engine = engine
        self.min_confidence = min_confidence
        size = card.crop.size
        outputs = engine.run(np.zeros((1, size, size, 3), dtype=np.uint8))
        expected = {"expression": len(card.labels), "affect": 2, "embedding": card.embedding}
        for name, width in expected.items():
            shape = outputs[name].shape if name in outputs else None
            if shape != (1, width):
                raise ModelInvalid(f"the model's output {name} is {shape}, but its card promises (1, {width})")

    def read(self, crops: Image) -> list[Reading]:
        """uint8 RGB crops (N, size, size, 3) -> N results, in one engine call."""
        if not len(crops):
            return []
        outputs = self.engine.run(crops)
        labels = self.card.labels
        return [
            (
                likeliest(dict(zip(labels, values, strict=True)), self.min_confidence),
                Affect(*affect),
                embedding,
            )
            for values, affect, embedding in zip(
                outputs["expression"].tolist(), outputs["affect"].tolist(), outputs["embedding"], strict=True
            )
        ]


def likeliest(probabilities: Mapping[str, float], min_confidence: float = 0.0, label: str | None = None) -> Expression:
    """The expression that probabilities by class, which sum to 1, tell; or that of ``label``, where one is given."""
    label = label or max(probabilities, key=probabilities.__getitem__)
    confidence = probabilities[label]
    return Expression(label if confidence >= min_confidence else UNCERTAIN, confidence, dict(probabilities))
