"""The student at step 0: from a checkpoint, from pretrained weights, or from random ones."""

from __future__ import annotations

from pathlib import Path

import torch

from mien.errors import InputError
from mien_train.batches import EvaluationFaces, Faces
from mien_train.checkpoints import load_checkpoint
from mien_train.models.student import Student
from mien_train.pretrained import load_pretrained, origin_of
from mien_train.recipe import Recipe


def start_student(recipe: Recipe, training: list[Faces]) -> tuple[Student, str]:
    """The student that ``model.weights`` asks for, and where it comes from, in words for the card.

    Raises InputError where the weights are missing or do not fit.
    """
    student = Student(recipe.model)
    weights = recipe.model.weights
    if not weights.endswith(".pt"):
        load_pretrained(student, weights, _some_crops(training, recipe))
        return student, origin_of(weights)
    before = load_checkpoint(Path(weights))
    try:
        student.load_state_dict(before["ema"])
    except RuntimeError as error:
        raise InputError(f"{weights} does not fit {recipe.model.backbone}: {error}") from error
    return student, before.get("origin", "") + f" Trained on from {weights}."


def _some_crops(training: list[Faces], recipe: Recipe, count: int = 512) -> torch.Tensor:
    """Plain crops of about ``count`` training images, every set alike."""
    some = [EvaluationFaces(item.sample(count // len(training), recipe.seed), recipe.crop) for item in training]
    return torch.stack([item[i][0] for item in some for i in range(len(item))])
