"""What a trained student is worth: held-out figures of every set."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis

from mien_train.affect import Ridge, fit_affect
from mien_train.metrics import expression_metrics
from mien_train.models.student import Student
from mien_train.predict import Predictions, predict
from mien_train.recipe import Recipe
from mien_train.trainer import load_checkpoint, load_with_landmarks, recipe_of


def load_student(path: Path) -> tuple[Student, Recipe, dict[str, Any]]:
    """A checkpoint's student (EMA weights, evaluation mode), its recipe, and the rest of its state."""
    state = load_checkpoint(path)
    recipe = recipe_of(state)
    student = Student(recipe.model)
    student.load_state_dict(state["ema"])
    return student.eval().to(memory_format=torch.channels_last), recipe, state


def test_predictions(student: Student, recipe: Recipe, root: Path | None) -> dict[str, Predictions]:
    """Predictions on the labelled images of every test set, by its name."""
    return {
        name: predict(student, load_with_landmarks(name, root), recipe.crop).labelled() for name in recipe.data.test
    }


def fit_affect_head(student: Student, recipe: Recipe, root: Path | None) -> tuple[Ridge, dict[str, dict[str, float]]]:
    """The affect head for this student, from the images with human valence and arousal, and its held-out figures."""
    item = load_with_landmarks(recipe.data.affect, root)
    item = item.subset(~np.isnan(item.faces.affect[:, 0]))
    plain = predict(student, item, recipe.crop)
    return fit_affect(plain, predict(student, item, recipe.crop, mirrored=True), recipe.seed)


def evaluate(path: Path, root: Path | None) -> tuple[dict[str, Any], dict[str, Predictions]]:
    """Figures of a finished checkpoint, computed anew: metrics by set, predictions by set."""
    student, recipe, _ = load_student(path)
    tests = test_predictions(student, recipe, root)
    figures: dict[str, Any] = {name: expression_metrics(p.probabilities(), p.expression) for name, p in tests.items()}
    if recipe.data.affect:
        figures[f"{recipe.data.affect}, 5-fold"] = fit_affect_head(student, recipe, root)[1]
    figures["macs"] = count_macs(student, recipe.crop.size)
    return figures, tests


def count_macs(student: Student, size: int) -> int:
    """Multiply-accumulates for one crop, counted by fvcore."""
    crop = torch.zeros((1, size, size, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analysis = FlopCountAnalysis(student.eval(), crop)
        return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())
