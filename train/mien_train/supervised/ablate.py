"""What each part of distillation adds: the same student and budget with one part more in each arm, over seeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import InputError
from mien.files import write_whole
from mien_train.evaluation.affect_head import FOLD_SEED, FOLDS, folds
from mien_train.evaluation.evaluate import fit_affect_head, test_predictions
from mien_train.evaluation.metrics import affect_metrics
from mien_train.models.checkpoints import load_student
from mien_train.recipe import DistillRecipe, Recipe
from mien_train.supervised.trainer import train

Measure = Callable[[Path, Path | None], dict[str, Any]]
"""Figures of a checkpoint, from the folder of the data sets."""
ARMS = ("labels", "kd", "kd+bound", "kd+bound+unlabelled")
UNLABELED = "unlabelled/train"
AFFECT = tuple(f"{m}_{what}" for m in ("ccc", "pcc", "rmse", "sagr") for what in ("valence", "arousal"))


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """``recipe`` with only the parts of ``arm``. All arms train for the same number of steps.

    Raises InputError for an unknown arm, and where the recipe has no teacher or no fixed number of steps.
    """
    if not recipe.distill.teacher or not recipe.optim.steps:
        raise InputError("an ablation needs distill.teacher, and optim.steps for the same budget in every arm")
    if arm not in ARMS:
        raise InputError(f"unknown arm {arm!r}; they are {', '.join(ARMS)}")
    train_on = tuple(name for name in recipe.data.train if name != UNLABELED)
    distill = replace(recipe.distill, affect="bound" in arm)
    if arm == "labels":
        distill = DistillRecipe()
    if "unlabelled" in arm:
        train_on = (*train_on, UNLABELED)
    return replace(recipe, seed=seed, data=replace(recipe.data, train=train_on), distill=distill)


def ablate(
    recipe: Recipe, root: Path | None, out: Path, seeds: int = 3, arms: tuple[str, ...] = ARMS
) -> dict[str, dict[str, list[float]]]:
    """Train every arm with every seed, except for what is in ``out`` already. -> arm -> measure -> a value per seed."""
    table: dict[str, dict[str, list[float]]] = {}
    for arm in arms:
        arm_recipe(recipe, arm, 0)  # raises before hours of training, not after
    for seed in range(seeds):
        for arm in arms:
            folder = out / f"{arm}-{seed}"
            for name, value in kept_figures(arm_recipe(recipe, arm, seed), root, folder, measure).items():
                table.setdefault(arm, {}).setdefault(name, []).append(value)
    return table


def kept_figures(
    recipe: Recipe, root: Path | None, folder: Path, measure: Measure, threads: int | None = None
) -> dict[str, Any]:
    """What ``measure`` says of the student of ``recipe``, which is trained first unless ``folder`` has its figures.

    Raises InputError where these are of another recipe.
    """
    path = folder / "figures.json"
    if not path.is_file():
        found = measure(train(recipe, root, folder, resume=True, threads=threads), root)
        report = {"recipe": recipe.to_dict(), "figures": found}
        write_whole(path, (json.dumps(report, indent=2) + "\n").encode())
    read = json.loads(path.read_text())
    if read["recipe"] != recipe.to_dict():
        raise InputError(f"{path} was made by another recipe; use that one, or choose another --out")
    figures: dict[str, Any] = read["figures"]
    return figures


def measure(path: Path, root: Path | None) -> dict[str, float]:
    """Accuracy on each test set and the mean of these; valence and arousal of heads fitted by cross-validation, and of
    the head as it was trained, on the last fold, which none of our teachers was fitted on."""
    student, recipe, _ = load_student(path)
    tests = test_predictions(student, recipe, root)
    figures: dict[str, Any] = {name: predictions.accuracy() for name, predictions in tests.items()}
    figures["mean of the sets"] = float(np.mean(list(figures.values())))
    if recipe.data.affect:
        fit, plain = fit_affect_head(student, recipe, root)
        figures |= {f"5-fold {key}": fit.figures["head"][key] for key in AFFECT}
        last = folds(plain.expression, FOLD_SEED) == FOLDS - 1
        own = affect_metrics(plain.predicted_affect[last].clip(-1, 1), plain.affect[last])
        figures |= {f"trained head {key}": own[key] for key in AFFECT}
    return figures


def as_markdown(table: dict[str, dict[str, list[float]]]) -> str:
    """Mean and standard deviation over the seeds, a column for each arm."""
    arms = list(table)
    rows = ["| measure | " + " | ".join(arms) + " |", "|---" * (len(arms) + 1) + "|"]
    for name in table[arms[0]]:
        cells = (_spread(table[arm][name]) for arm in arms)
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.4f}" + (f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else "")
