"""Crops -> expression, affect and embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.card import ModelCard
from mien.engines import Engine
from mien.errors import ModelInvalid
from mien.faces import Affect, Expression, Floats, Image

OUTPUTS = ("expression", "affect", "embedding")


class ExpressionModel:
    """The student on an engine. Stateless after construction, so threads may share it."""

    def __init__(self, card: ModelCard, engine: Engine):
        """Runs one blank crop, so that a model that does not fit its card fails here and not on the first face."""
        self.card = card
        self.engine = engine
        size = card.crop.size
        outputs = engine.run(np.zeros((1, size, size, 3), dtype=np.uint8))
        expected = {"expression": len(card.labels), "affect": 2, "embedding": card.embedding}
        for name, width in expected.items():
            shape = outputs[name].shape if name in outputs else None
            if shape != (1, width):
                raise ModelInvalid(f"the model's output {name} is {shape}, but its card promises (1, {width})")

    def read(self, crops: Sequence[Image]) -> list[tuple[Expression, Affect, Floats]]:
        """N uint8 RGB crops (size, size, 3) -> N results, in one engine call."""
        if not crops:
            return []
        outputs = self.engine.run(np.stack(crops))
        return [
            (self._expression(probabilities), Affect(float(affect[0]), float(affect[1])), embedding)
            for probabilities, affect, embedding in zip(*(outputs[name] for name in OUTPUTS), strict=True)
        ]

    def _expression(self, probabilities: Floats) -> Expression:
        best = int(probabilities.argmax())
        named = dict(zip(self.card.labels, map(float, probabilities), strict=True))
        return Expression(self.card.labels[best], float(probabilities[best]), named)
