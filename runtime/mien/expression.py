"""Crops -> expression, affect and embedding."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from mien.card import ModelCard
from mien.engines import Engine
from mien.errors import InputError, ModelInvalid
from mien.faces import UNCERTAIN, Affect, Expression, Floats, Image
from mien.personal import Personal, model_of

Said: TypeAlias = tuple[Expression, Affect | None, Floats]
"""What the model tells of one crop: affect is None where it never learned any; the last is the embedding (D,)."""


class ExpressionModel:
    """The student on an engine. Stateless after construction, so threads may share it."""

    def __init__(self, card: ModelCard, engine: Engine, min_confidence: float = 0.0):
        """Expressions less likely than ``min_confidence`` are labelled UNCERTAIN.

        Runs one blank crop, so that a model that does not fit its card fails here and not on the first face.
        """
        self.card = card
        self.engine = engine
        self.min_confidence = min_confidence
        self.personal = Personal(model_of(card), card.labels)
        size = card.crop.size
        outputs = engine.run(np.zeros((1, size, size, 3), dtype=np.uint8))
        for name, width in card.outputs.items():
            shape = outputs[name].shape if name in outputs else None
            if shape != (1, width):
                raise ModelInvalid(f"the model's output {name} is {shape}, but its card promises (1, {width})")

    @property
    def labels(self) -> tuple[str, ...]:
        """The basic classes, then those learned on this device."""
        return (*self.card.labels, *self.personal.labels)

    def with_personal(self, personal: Personal) -> ExpressionModel:
        """This model with what was learned; the engine is shared. Raises InputError for what another model learned."""
        if (personal.model, personal.basic) != (self.personal.model, self.personal.basic):
            raise InputError(
                f"these expressions were learned with another model than {self.card.name} of this bundle; enrol them "
                "again, or give the bundle they were learned with as the model"
            )
        other = copy.copy(self)
        other.personal = personal
        return other

    def read(self, crops: Image) -> list[Said]:
        """uint8 RGB crops (N, size, size, 3) -> N results, in one engine call."""
        if not len(crops):
            return []
        outputs, personal = self.engine.run(crops), self.personal
        labels, probabilities = self.labels, personal.read(outputs["expression"], outputs["embedding"])
        affects: list[Affect | None] = [None] * len(crops)
        if self.card.has_affect:
            affects = [personal.shift(Affect(*pair)) for pair in outputs["affect"].tolist()]
        return [
            (likeliest(dict(zip(labels, values, strict=True)), self.min_confidence), affect, embedding)
            for values, affect, embedding in zip(probabilities.tolist(), affects, outputs["embedding"], strict=True)
        ]


def likeliest(probabilities: Mapping[str, float], min_confidence: float = 0.0, label: str | None = None) -> Expression:
    """The expression that probabilities by class, which sum to 1, tell; or that of ``label``, where one is given."""
    label = label or max(probabilities, key=probabilities.__getitem__)
    confidence = probabilities[label]
    return Expression(label if confidence >= min_confidence else UNCERTAIN, confidence, dict(probabilities))
