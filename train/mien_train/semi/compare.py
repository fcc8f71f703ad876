"""What each part of semi-supervised training adds: the same student and budget, one part more in each arm."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import InputError
from mien.files import write_whole
from mien.types import EXPRESSIONS
from mien_train.data.batches import Faces
from mien_train.evaluation.evaluate import test_predictions
from mien_train.evaluation.metrics import confusion
from mien_train.models.checkpoints import load_student
from mien_train.recipe import Recipe
from mien_train.semi.pools import load_sets_of, split_pools
from mien_train.semi.train import check_recipe, train_semi

ARMS = {
    "labels": {"pseudo": False, "uniform": False, "feedback": 0.0},
    "+ pseudo-labels": {"uniform": False, "feedback": 0.0},
    "+ uniform": {"feedback": 0.0},
    "+ feedback": {},
}
"""What each arm changes in the recipe."""
RARE = ("fear", "disgust", "contempt")
LINES = "runs.jsonl"
T95 = (np.nan, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""97.5 % quantiles of Student's t for 0 to 9 degrees of freedom; for more, that of 9 is used."""


def arm_recipe(recipe: Recipe, arm: str, labels: float, seed: int) -> Recipe:
    """``recipe`` with only the parts of ``arm``. Raises InputError for an unknown arm, and for a recipe without all
    parts."""
    if arm not in ARMS:
        raise InputError(f"unknown arm {arm!r}; they are {', '.join(repr(name) for name in ARMS)}")
    if not (recipe.semi.pseudo and recipe.semi.uniform and recipe.semi.feedback):
        raise InputError(
            "the recipe of a comparison has all parts: semi.pseudo and semi.uniform true, semi.feedback not 0"
        )
    changed = replace(recipe, seed=seed, semi=replace(recipe.semi, labels=labels, **ARMS[arm]))  # type: ignore[arg-type]
    check_recipe(changed)
    return changed


def compare_arms(
    recipe: Recipe, root: Path | None, out: Path, *, seeds: int = 3, shares: tuple[float, ...] = (0.1, 1.0),
    arms: tuple[str, ...] = tuple(ARMS), threads: int | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Train every arm with every share of the labels and every seed. -> a row for each run.

    A finished run is a line of ``out/runs.jsonl`` and is not trained again; an interrupted one resumes. Raises
    InputError where a line was made by another recipe.
    """
    wanted = [
        (arm, share, seed, arm_recipe(recipe, arm, share, seed))
        for seed in range(seeds) for share in shares for arm in arms
    ]  # fmt: skip
    done = {(row["arm"], row["labels"], row["seed"]): row for row in read_rows(out)}
    for arm, share, seed, arm_settings in wanted:
        row = done.get((arm, share, seed))
        if row and row["recipe"] != arm_settings.to_dict():
            raise InputError(f"{out / LINES} was made by another recipe; use that one, or choose another --out")
    sets: tuple[list[Faces], list[Faces]] | None = None
    for number, (arm, share, seed, arm_settings) in enumerate(wanted):
        if (arm, share, seed) in done:
            continue
        sets = sets or load_sets_of(recipe, root)
        print(f"run {number + 1} of {len(wanted)}: {arm}, {share:.0%} of the labels, seed {seed}")
        folder = out / f"{'-'.join(arm.replace('+', '').split())}-{share:g}-{seed}"
        path = train_semi(arm_settings, split_pools(*sets, arm_settings), folder, resume=True, threads=threads)
        figures, quality = measure(path, root)
        about = {"arm": arm, "labels": share, "seed": seed, "figures": figures, "quality": quality}
        done[arm, share, seed] = {**about, "recipe": arm_settings.to_dict()}
        write_whole(out / LINES, "".join(json.dumps(row) + "\n" for row in done.values()).encode())
    return [done[arm, share, seed] for arm, share, seed, _ in wanted]


def read_rows(out: Path) -> list[dict[str, Any]]:
    """Finished runs. Raises InputError where one cannot be read."""
    path = out / LINES
    try:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}): remove the broken line, and its run is measured again"
        ) from None


def measure(path: Path, root: Path | None) -> tuple[dict[str, float], dict[str, Any] | None]:
    """Figures of a student on the test sets, by name, and the quality of its pseudo-labels, if it had any."""
    student, recipe, state = load_student(path)
    tests = test_predictions(student, recipe, root)
    each = {
        name: set_figures(confusion(predictions.probabilities(), predictions.expression))
        for name, predictions in tests.items()
    }
    figures = {f"{name} {key}": value for name, values in each.items() for key, value in values.items()}
    for key in ("accuracy", "macro-F1", *RARE):
        found = [values[key] for values in each.values() if key in values]
        if found:
            figures[f"mean {key}"] = float(np.mean(found))
    figures["mean rare recall"] = float(
        np.mean([figures[f"mean {name}"] for name in RARE if f"mean {name}" in figures])
    )
    return figures, state["quality"]


def set_figures(matrix: NDArray[np.int64]) -> dict[str, float]:
    """Counts (8, 8), rows are true classes -> accuracy, macro-F1 over the classes that occur, recall of the rare
    ones."""
    right, true = np.diag(matrix), matrix.sum(1)
    f1 = 2 * right / np.maximum(true + matrix.sum(0), 1)
    recall = {name: right[c] / true[c] for name in RARE if true[c := EXPRESSIONS.index(name)]}
    return {"accuracy": float(right.sum() / true.sum()), "macro-F1": float(f1[true > 0].mean())} | {
        name: float(value) for name, value in recall.items()
    }


def gain(rows: list[dict[str, Any]], arm: str, share: float, figure: str) -> tuple[float, float] | None:
    """Mean difference of ``arm`` from labels alone with the same seeds, and half the width of its 95 % interval
    (Student's t over the seeds; NaN for one seed). None where either arm is missing."""
    values = [
        {row["seed"]: row["figures"][figure] for row in rows if (row["arm"], row["labels"]) == (name, share)}
        for name in (arm, "labels")
    ]
    seeds = sorted(set(values[0]) & set(values[1]))
    if not seeds:
        return None
    differences = np.array([values[0][seed] - values[1][seed] for seed in seeds])
    n = len(seeds)
    half = T95[min(n, len(T95)) - 1] * differences.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return float(differences.mean()), float(half)
