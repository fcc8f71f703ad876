"""Crops -> expression, affect and embedding."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mien.bundle.card import ModelCard
from mien.engines import Engine
from mien.engines.shared import SharedEngine
from mien.enrollment.classes import Personal, model_of
from mien.errors import InputError, ModelInvalid
from mien.types import UNCERTAIN, Affect, Expression, Floats, Image

Prediction: TypeAlias = tuple[Expression, Affect | None, Floats]
"""The model's output for one crop: expression, affect (None for a model without), and embedding (D,)."""


@dataclass(frozen=True)
class Labeling:
    """How the probabilities of classes become an expression.

    An expression less likely than ``min_confidence`` is labeled UNCERTAIN. Classes in ``exclude`` are left out.
    """

    min_confidence: float = 0.0
    exclude: tuple[str, ...] = ()

    def without_excluded(self, probabilities: Mapping[str, float]) -> dict[str, float]:
        """The probabilities of the other classes, in the same order, scaled to sum to 1."""
        if not self.exclude:
            return dict(probabilities)
        left = {label: value for label, value in probabilities.items() if label not in self.exclude}
        total = sum(left.values())
        return {label: value / total if total else 1 / len(left) for label, value in left.items()}

    def expression(self, probabilities: Mapping[str, float], label: str | None = None) -> Expression:
        """The expression with these probabilities, from which excluded classes were removed. Its label is ``label``, by
        default the most likely class."""
        label = label or max(probabilities, key=probabilities.__getitem__)
        confidence = probabilities[label]
        return Expression(label if confidence >= self.min_confidence else UNCERTAIN, confidence, dict(probabilities))

    def apply(self, prediction: Prediction) -> Prediction:
        """The prediction without excluded classes."""
        expression, affect, embedding = prediction
        if self.exclude:
            expression = self.expression(self.without_excluded(expression.probabilities))
        return expression, affect, embedding


class ExpressionModel:
    """The expression model on an engine. It keeps no state between calls, so threads may share it."""

    def __init__(self, card: ModelCard, engine: Engine, labeling: Labeling | None = None):
        """``labeling`` is for the callers that report expressions; ``predict`` itself returns all classes.

        Runs one blank crop, so that a model that does not fit its card fails here and not at the first face.
        """
        self.card = card
        self.engine = engine
        self.labeling = labeling or Labeling()
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
        """A copy of this model with what was learned; both share the engine. InputError if it was learned with another
        model."""
        if (personal.model, personal.basic) != (self.personal.model, self.personal.basic):
            raise InputError(
                f"these expressions were learned with another model than {self.card.name}; enroll them again, or use "
                "the bundle they were learned with"
            )
        other = copy.copy(self)
        other.personal = personal
        return other

    def sharing_calls(self) -> ExpressionModel:
        """A copy for several threads, on the same engine: crops that wait for it at the same moment share one call."""
        other = copy.copy(self)
        other.engine = SharedEngine(self.engine)
        return other

    def predict(self, crops: Image) -> list[Prediction]:
        """uint8 RGB crops (N, size, size, 3) -> N results, in one engine call."""
        if not len(crops):
            return []
        outputs, personal = self.engine.run(crops), self.personal
        # All classes, because a temporal encoder reads them.
        whole = Labeling(self.labeling.min_confidence)
        labels, probabilities = self.labels, personal.read(outputs["expression"], outputs["embedding"])
        affects: list[Affect | None] = [None] * len(crops)
        if self.card.has_affect:
            affects = [personal.shift(Affect(*pair)) for pair in outputs["affect"].tolist()]
        return [
            (whole.expression(dict(zip(labels, values, strict=True))), affect, embedding)
            for values, affect, embedding in zip(probabilities.tolist(), affects, outputs["embedding"], strict=True)
        ]
