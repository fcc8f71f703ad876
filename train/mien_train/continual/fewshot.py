"""New classes from a handful of examples: how well they are learned, and what the basic classes lose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mien.errors import InputError
from mien.files import write_whole
from mien.types import EXPRESSIONS
from mien_train.continual.classes import class_names
from mien_train.continual.features import Bank
from mien_train.continual.figures import accuracy, balanced_accuracy, new_at_loss
from mien_train.continual.learner import METHODS, Learner
from mien_train.continual.network import Tail
from mien_train.continual.recipe import ContinualRecipe

METHOD = "psmr+kd"
BASIC = len(EXPRESSIONS)


def few(bank: Bank, labels: list[int], shots: int, rng: np.random.Generator) -> Bank:
    """All basic faces of ``bank``, and ``shots`` random faces of each class in ``labels``; other faces are hidden."""
    label = bank.label.copy()
    label[label >= BASIC] = -1
    for new in labels:
        rows = bank.rows(new)
        if len(rows) < shots:
            raise InputError(f"there are {len(rows)} examples of a new class, not {shots}; ask for fewer --shots")
        label[rng.permutation(rows)[:shots]] = new
    return replace(bank, label=label)


def one_draw(
    basic: Tail, bank: Bank, test: Bank, recipe: ContinualRecipe, shots: int, count: int, number: int
) -> dict[str, float]:
    """Draw ``count`` of the new classes and examples of them at random, and learn one class after another."""
    names = class_names(recipe.classes.compounds)
    rng = np.random.default_rng((recipe.seed, shots, count, number))
    labels = [BASIC + int(k) for k in rng.permutation(len(names) - BASIC)[:count]]
    learner = Learner(basic, few(bank, labels, shots, rng), recipe, METHODS[METHOD], number)
    asked = np.flatnonzero(np.isin(test.label, [*range(BASIC), *labels]))
    known = test.label[asked]
    before = test.taught[0].argmax(1).numpy()[asked]
    for label in labels:
        learner.learn(names[label], label)
    after, logits = learner.predict(test, asked)
    every = list(range(BASIC))
    start = accuracy(before, known, every)
    return {
        "new": accuracy(after, known, labels),
        "new_balanced": balanced_accuracy(after, known, labels),
        "basic": accuracy(after, known, every),
        "all": accuracy(after, known, every + labels),
        "all_balanced": balanced_accuracy(after, known, every + labels),
        "basic_forgetting": start - accuracy(after, known, every),
        "new_at_2_points": new_at_loss(logits, np.array(every + labels), known, start),
    }


def check_numbers(shots: list[int], counts: list[int], draws: int, most: int) -> None:
    """Raises InputError for impossible numbers; there are ``most`` new classes."""
    if min(shots) < 1 or draws < 1 or not all(1 <= count <= most for count in counts):
        raise InputError(f"--shots and --draws must be 1 or more, --new from 1 to {most}")


def few_shot(
    basic: Tail, bank: Bank, test: Bank, recipe: ContinualRecipe, shots: list[int], counts: list[int], draws: int,
    folder: Path,
) -> list[dict[str, Any]]:  # fmt: skip
    """Every number of shots with every number of new classes, ``draws`` times. -> rows with each figure's mean and
    standard deviation over the draws. What is in ``folder`` already is not computed again."""
    folder.mkdir(parents=True, exist_ok=True)
    table = []
    with tqdm(total=len(shots) * len(counts) * draws, unit="draw", mininterval=5.0) as bar:
        for count in counts:
            for shot in shots:
                results = []
                for number in range(draws):
                    path = folder / f"{shot}-shot-{count}-new-{number}.json"
                    if not path.is_file():
                        figures = one_draw(basic, bank, test, recipe, shot, count, number)
                        write_whole(path, json.dumps(figures).encode())
                    results.append(json.loads(path.read_text()))
                    bar.update()
                means = {name: round(float(np.mean([m[name] for m in results])), 4) for name in results[0]}
                spreads = {
                    name: round(float(np.std([m[name] for m in results], ddof=int(draws > 1))), 4)
                    for name in results[0]
                }
                table.append({"shots": shot, "new_classes": count, "draws": draws, "mean": means, "spread": spreads})
    return table


def as_markdown(table: list[dict[str, Any]]) -> str:
    """Means and standard deviations over the draws, in percent."""
    columns = {
        "new": "new", "new_balanced": "new, balanced", "basic": "basic", "all": "all", "all_balanced": "all, balanced",
        "basic_forgetting": "basic lose",
        "new_at_2_points": "new where basic lose 2",
    }  # fmt: skip
    rows = ["| new classes | shots | " + " | ".join(columns.values()) + " |", "|---" * (len(columns) + 2) + "|"]
    for row in table:
        cells = [f"{100 * row['mean'][name]:.1f} ± {100 * row['spread'][name]:.1f}" for name in columns]
        rows.append(f"| {row['new_classes']} | {row['shots']} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"
