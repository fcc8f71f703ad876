"""The affect head of a network, for a student that went on from it but was trained on expressions only."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.bundle.card import ModelCard, card_from_dict
from mien.errors import MienError
from mien_train.data.batches import Faces
from mien_train.evaluation.metrics import affect_metrics
from mien_train.evaluation.predict import predict
from mien_train.models.from_onnx import is_bundle, load_trained
from mien_train.models.student import Student
from mien_train.recipe import Recipe

MOST = 1000
"""Faces on which the predictions before and after training are compared."""
SHARE = 0.5
"""The head is kept where its predictions moved by at most this share of its error against people's ratings, both as
root mean squares. If the two are independent, the error grows by at most an eighth."""


def keep_affect(student: Student, recipe: Recipe, faces: list[Faces]) -> tuple[str, dict[str, Any]] | None:
    """Give a student the affect head of the network that it went on from, where that still predicts what it did.

    Args:
        student: A trained student whose own affect head was not trained.
        recipe: How it was trained; ``model.weights`` is what it went on from.
        faces: Training and validation faces, on which its predictions are compared with those before.

    Returns:
        A name and figures for the card: the agreement with the predictions before. None where there was no such head,
        or where it no longer fits; the student then stays as it was.
    """
    weights = recipe.model.weights
    if not (weights.endswith(".pt") or is_bundle(weights)):
        return None
    try:
        before, old_recipe, state = load_trained(weights)
    except MienError:  # what it went on from is gone
        return None
    card = card_from_dict(state["card"]) if "card" in state else None
    error = _error(card) if card else None
    if card is None or error is None or before.affect.weight.shape != student.affect.weight.shape:
        return None
    own = {name: value.clone() for name, value in student.affect.state_dict().items()}
    student.affect.load_state_dict(before.affect.state_dict())
    some = [item.sample(-(-MOST // len(faces)), recipe.seed) for item in faces]
    old = np.concatenate([predict(before, item, old_recipe.crop).predicted_affect for item in some]).clip(-1, 1)
    new = np.concatenate([predict(student, item, recipe.crop).predicted_affect for item in some]).clip(-1, 1)
    drift = np.sqrt(((new - old) ** 2).mean(0))
    if not (drift <= SHARE * error).all():
        student.affect.load_state_dict(own)
        return None
    return f"agreement with {card.name}, whose head was kept", {"kept": affect_metrics(new, old)}


def _error(card: ModelCard) -> np.ndarray | None:
    """(2,) root mean square error of valence and arousal against people's ratings, as the card has it."""
    for values in card.metrics.values():
        for kind in ("head", "last_fold"):
            if "accuracy" not in values and kind in values:
                return np.array([values[kind]["rmse_valence"], values[kind]["rmse_arousal"]])
    return None
