"""What ``fer-train continual`` and ``fewshot`` do."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mien.bundle import find_bundle
from mien_train.continual import compare, fewshot
from mien_train.continual.by_class import by_class
from mien_train.continual.classes import class_names
from mien_train.continual.compare import OURS
from mien_train.continual.features import Bank, faces_digest, make_bank
from mien_train.continual.finish import LEARNED
from mien_train.continual.learner import METHODS, Learner
from mien_train.continual.network import Tail, cut, grown_state
from mien_train.continual.plot import plot_courses
from mien_train.continual.recipe import ContinualRecipe
from mien_train.continual.sets import load_learning
from mien_train.loop.precision import warn_of_emulation
from mien_train.models.checkpoints import save_checkpoint
from mien_train.models.from_onnx import is_bundle, load_trained
from mien_train.models.student import Student


@dataclass(frozen=True, eq=False)
class Setup:
    """What learning starts from: a basic student, its top blocks, the faces to learn from and to test on."""

    student: Student
    state: dict[str, Any]
    basic: Tail
    bank: Bank
    test: Bank
    model: str
    """What ``prepare`` was given for it."""


def prepare(model: str, recipe: ContinualRecipe, root: Path | None, out: Path) -> Setup:
    """Load the student, and compute the output of its lower blocks for every face once, into ``out/features``.

    ``model``: a checkpoint (.pt), or a bundle by its folder or packaged name. Raises InputError where ``out`` holds
    runs of another recipe, student or faces.
    """
    student, made_by, state = load_trained(model)
    warn_of_emulation(recipe.learn.precision)
    cutter = cut(student, recipe.learn.blocks)
    out.mkdir(parents=True, exist_ok=True)
    weights = find_bundle(model).model_file() if is_bundle(model) else Path(model)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
    parts, tests = load_learning(recipe.classes, recipe.seed, root)
    faces = faces_digest(parts, tests)
    compare.guard(out / "recipe.json", {"checkpoint": digest, "faces": faces, **recipe.to_dict()})
    folder, precision = out / "features", recipe.learn.precision
    bank = make_bank(cutter, parts, made_by.crop, precision, views=recipe.learn.views, folder=folder)
    test = make_bank(cutter, tests, made_by.crop, precision, views=1, folder=folder)
    return Setup(student, state, cutter[1], bank, test, str(model))


def learn_all(setup: Setup, recipe: ContinualRecipe, out: Path) -> Path:
    """Learn every compound in the recipe's order, by the full method, and save ``out/continual.pt``."""
    names = class_names(recipe.classes.compounds)
    learner = Learner(setup.basic, setup.bank, recipe, METHODS[OURS], 0)
    order = compare.order_of(recipe, 0)
    for label in order:
        learner.learn(names[label], label)
    state = grown_state(setup.state, setup.student, learner.tail, [names[c] for c in order], recipe.learn.caution)
    state[LEARNED] = {"from": setup.model, "card": setup.state.get("card"), "recipe": recipe.to_dict()}
    state["origin"] = state.get("origin", "") + f" Then learned {', '.join(names[c] for c in order)} ({OURS})."
    path = out / "continual.pt"
    save_checkpoint(path, state)
    return path


def continual(
    setup: Setup, recipe: ContinualRecipe, methods: tuple[str, ...], orders: int, out: Path, command: str
) -> dict[str, Any]:
    """Compare the methods, and write ``continual.json``, ``.md`` and ``.png`` into ``out``. -> the report."""
    runs = compare.compare(setup.basic, setup.bank, setup.test, recipe, methods, orders, out / "runs")
    label, names = setup.test.label, class_names(recipe.classes.compounds)
    table = compare.table_of(runs, label)
    report = {
        **_about(setup, recipe, command),
        "orders": orders,
        "methods": table,
        "differences": compare.differences(runs, label) if OURS in runs else {},
        "classes": {method: by_class(several, label, names) for method, several in runs.items()},
    }
    (out / "continual.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    (out / "continual.md").write_text(compare.as_markdown(table))
    plot_courses(table, out / "continual.png")
    return report


def few(
    setup: Setup, recipe: ContinualRecipe, shots: list[int], counts: list[int], draws: int, out: Path, command: str
) -> dict[str, Any]:
    """Few-shot learning; writes ``fewshot.json`` and ``.md`` into ``out``. -> the report."""
    table = fewshot.few_shot(setup.basic, setup.bank, setup.test, recipe, shots, counts, draws, out / "draws")
    report = {**_about(setup, recipe, command), "method": fewshot.METHOD, "rows": table}
    (out / "fewshot.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    (out / "fewshot.md").write_text(fewshot.as_markdown(table))
    return report


def _about(setup: Setup, recipe: ContinualRecipe, command: str) -> dict[str, Any]:
    """How the figures came about: command, versions, recipe, and the number of faces."""
    names = class_names(recipe.classes.compounds)
    return {
        "command": command,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} thread(s)",
        "versions": {name: version(name) for name in ("torch", "timm", "numpy")},
        "recipe": recipe.to_dict(),
        "learned_from": {name: len(setup.bank.rows(c)) for c, name in enumerate(names)},
        "tested_on": {name: len(setup.test.rows(c)) for c, name in enumerate(names)},
    }
