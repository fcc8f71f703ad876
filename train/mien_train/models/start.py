"""The student at step 0: from a checkpoint or bundle, from pretrained weights, or from random ones."""

from __future__ import annotations

import torch

from mien.errors import InputError
from mien_train.data.batches import EvaluationFaces, Faces
from mien_train.models.from_onnx import is_bundle, load_start
from mien_train.models.pretrained import load_pretrained, measure_norms, origin_of
from mien_train.models.short_mobilenet import SHORT, WHOLE
from mien_train.models.student import Student
from mien_train.recipe import Recipe


def start_student(recipe: Recipe, training: list[Faces]) -> tuple[Student, str]:
    """The student that ``model.weights`` asks for, and what it started from, as sentences for the card.

    Raises InputError where the weights are missing or do not fit.
    """
    student = Student(recipe.model)
    weights = recipe.model.weights
    if not (weights.endswith(".pt") or is_bundle(weights)):
        load_pretrained(student, weights, _some_crops(training, recipe))
        return student, origin_of(weights, recipe.model.backbone)
    before = load_start(weights)
    state = before["ema"]
    if (recipe.model.backbone, before["recipe"]["model"]["backbone"]) == (SHORT, WHOLE):
        # Its heads read fewer features, so they start anew.
        own = student.state_dict()
        state = own | {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    try:
        student.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"{weights} does not fit {recipe.model.backbone}; its own backbone is "
            f"{before['recipe']['model']['backbone']}, so set model.backbone to it: {error}"
        ) from error
    if is_bundle(weights):
        measure_norms(student, _some_crops(training, recipe))
    return student, before.get("origin", "") + f" Trained on from {weights}."


def _some_crops(training: list[Faces], recipe: Recipe, count: int = 512) -> torch.Tensor:
    """Plain crops of about ``count`` training images, as many of each set."""
    some = [EvaluationFaces(item.sample(count // len(training), recipe.seed), recipe.crop) for item in training]
    return torch.stack([item[i][0] for item in some for i in range(len(item))])
