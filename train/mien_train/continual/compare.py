"""Methods of continual learning compared: the same basic model, faces and steps, over orders of the classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mien.errors import InputError
from mien.files import replacing
from mien_train.continual.classes import class_names
from mien_train.continual.features import Bank
from mien_train.continual.figures import BASIC, accuracy, at_loss, course, interval, summary
from mien_train.continual.folds import sides
from mien_train.continual.learner import Learner
from mien_train.continual.network import Tail
from mien_train.continual.recipe import ContinualRecipe
from mien_train.continual.variants import file_of, variant_of

OURS = "psmr+kd"
LIMITS = {"2 points": 0.02, "3 points": 0.03}
"""Methods are compared where the basic classes lose so much."""
THIN = 3
"""Between the first and the last class only one basic face in so many is tested, to save time."""


@dataclass(frozen=True, eq=False)
class Run:
    """``stages`` (T + 1, N): predictions after 0, 1, ... new classes, -1 where a face was not tested; ``order`` (T,):
    indices of the new classes; ``images`` (T + 1,): how many are kept of earlier classes; ``logits`` (N, 8 + T) at the
    end, without caution, NaN where a face was not tested."""

    stages: NDArray[np.int64]
    order: NDArray[np.int64]
    images: NDArray[np.int64]
    logits: NDArray[np.float32]


End = Callable[[Run, NDArray[np.int64]], NDArray[np.int64]]
"""Which predictions of a run on the faces with these labels are compared."""


def order_of(recipe: ContinualRecipe, number: int) -> list[int]:
    """Indices of the new classes: first in the recipe's own order, then shuffled, and the same for every method."""
    count = len(recipe.classes.compounds)
    shuffled = np.random.default_rng((recipe.seed, number)).permutation(count)
    return [BASIC + int(k) for k in (shuffled if number else range(count))]


def thinned(bank: Bank) -> NDArray[np.int64]:
    """Rows of all new classes, and one row in ``THIN`` of the basic ones."""
    basic = np.flatnonzero(bank.label < BASIC)
    return np.sort(np.concatenate([basic[::THIN], np.flatnonzero(bank.label >= BASIC)]))


def one_run(basic: Tail, bank: Bank, test: Bank, recipe: ContinualRecipe, method: str, number: int) -> Run:
    """One method, perhaps with settings of its own, and one order of the classes."""
    variant = variant_of(method, recipe)
    names, order = class_names(recipe.classes.compounds), order_of(recipe, number)
    bank, every = sides(bank, test, recipe, number)
    learner = Learner(basic, bank, variant.recipe, variant.method, number)
    some = np.intersect1d(thinned(test), every)
    stages, images = np.full((len(order) + 1, len(test.label)), -1), [learner.remembered]
    stages[0, every] = test.taught[0].argmax(1).numpy()[every]
    if variant.method.at_once:
        learner.learn_together([names[label] for label in order], order)
        images += [learner.remembered] * len(order)
    else:
        for t, label in enumerate(order, start=1):
            learner.learn(names[label], label)
            if t < len(order):
                stages[t, some], _ = learner.predict(test, some)
            images.append(learner.remembered)
    logits = np.full((len(test.label), len(learner.classes)), np.nan, np.float32)
    stages[-1, every], logits[every] = learner.predict(test, every)
    return Run(stages, np.array(order), np.array(images), logits)


def compare(
    basic: Tail, bank: Bank, test: Bank, recipe: ContinualRecipe, methods: tuple[str, ...], orders: int, folder: Path
) -> dict[str, list[Run]]:
    """Every method over every order, except for what is in ``folder`` already."""
    check_methods(methods, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Run]] = {method: [] for method in methods}
    with tqdm(total=orders * len(methods), unit="run", mininterval=5.0) as bar:
        for number in range(orders):
            for method in methods:
                path = folder / f"{file_of(method)}-{number}.npz"
                if not path.is_file():
                    run = one_run(basic, bank, test, recipe, method, number)
                    stages, logits = run.stages.astype(np.int8), run.logits.astype(np.float16)
                    with replacing(path) as aside:
                        np.savez_compressed(aside, stages=stages, order=run.order, images=run.images, logits=logits)
                with np.load(path) as stored:
                    whole = stored["stages"].astype(np.int64), stored["order"], stored["images"], stored["logits"]
                runs[method].append(Run(*whole))
                bar.update()
    return runs


def check_methods(methods: tuple[str, ...], recipe: ContinualRecipe) -> None:
    """Raises InputError for an unknown method, or settings that it cannot have."""
    for method in methods:
        variant_of(method, recipe)


def guard(path: Path, recipe: dict[str, Any]) -> None:
    """Write down how the runs beside ``path`` are made. Raises InputError where they were made otherwise."""
    if not path.is_file():
        path.write_text(json.dumps(recipe, indent=2) + "\n")
    stored = json.loads(path.read_text())
    if stored != recipe:
        what = "other faces" if {**stored, "faces": recipe.get("faces")} == recipe else "another recipe or checkpoint"
        raise InputError(f"{path.parent} holds runs of {what}; choose another --out")


def table_of(runs: dict[str, list[Run]], label: NDArray[np.int64]) -> dict[str, Any]:
    """By method: the mean, spread (standard deviation over the orders) and values of each figure, the course of the
    accuracies, and the images kept. ``new_interval`` and ``basic_interval`` are bootstrap intervals, over the tested
    faces, of the mean over the orders."""
    table = {}
    for method, several in runs.items():
        figures = [_figures(run, label) for run in several]
        courses = [course(run.stages, label, run.order.tolist()) for run in several]
        right = share_right(several, label)
        table[method] = {
            "figures": {name: _spread([f[name] for f in figures]) for name in figures[0]},
            "new_interval": interval(right[label >= BASIC]),
            "basic_interval": interval(right[label < BASIC]),
            "course": {name: _rounded(np.mean([c[name] for c in courses], axis=0)) for name in courses[0]},
            "course_spread": {name: _rounded(np.std([c[name] for c in courses], axis=0)) for name in courses[0]},
            "images": np.round(np.mean([run.images for run in several], axis=0), 1).tolist(),
        }
    return table


def _figures(run: Run, label: NDArray[np.int64]) -> dict[str, float]:
    equal = {}
    for name, limit in LIMITS.items():
        predicted = ends_at_loss(run, label, limit)
        asked = predicted >= 0
        figure = accuracy(predicted[asked], label[asked], run.order.tolist())
        equal[f"new_at_{name.replace(' ', '_')}"] = figure
    return {**summary(run.stages, label, run.order.tolist()), **equal}


def ends(run: Run, label: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) predictions at the end, -1 where a face was not tested."""
    return run.stages[-1]


def ends_at_loss(run: Run, label: NDArray[np.int64], limit: float) -> NDArray[np.int64]:
    """The same with the caution at which the basic classes lose at most ``limit``."""
    rows, basic = np.flatnonzero(run.stages[-1] >= 0), list(range(BASIC))
    before = accuracy(run.stages[0, rows], label[rows], basic)
    predicted = np.full(len(label), -1)
    predicted[rows] = at_loss(run.logits[rows], np.array(basic + run.order.tolist()), label[rows], before, limit)
    return predicted


def share_right(runs: list[Run], label: NDArray[np.int64], end: End = ends) -> NDArray[np.float64]:
    """(N,): the share of the orders in which each face was right at the end, of those in which it was tested."""
    last = np.array([end(run, label) for run in runs])
    return np.asarray((last == label).sum(0) / np.maximum((last >= 0).sum(0), 1))


def difference(
    first: list[Run], second: list[Run], label: NDArray[np.int64], *, new: bool = True, end: End = ends
) -> dict[str, float | list[float]]:
    """Accuracy on the new (or the basic) classes of ``first`` minus that of ``second``, over the same orders and faces,
    with its 95 % interval over the faces."""
    rows = (label >= BASIC) == new
    gap = (share_right(first, label, end) - share_right(second, label, end))[rows]
    return {"mean": round(float(gap.mean()), 4), "interval": interval(gap)}


def differences(runs: dict[str, list[Run]], label: NDArray[np.int64]) -> dict[str, dict[str, float | list[float]]]:
    """The whole method minus each other one: on the new classes, on the basic ones, and on the new ones where both lose
    equally much on the basic ones."""
    made = {}
    for other in (name for name in runs if name != OURS):
        pair = runs[OURS], runs[other]
        made[f"{OURS} - {other}, new"] = difference(*pair, label)
        made[f"{OURS} - {other}, basic"] = difference(*pair, label, new=False)
        for name, limit in LIMITS.items():
            end = partial(ends_at_loss, limit=limit)
            made[f"{OURS} - {other}, new where basic lose {name}"] = difference(*pair, label, end=end)
    return made


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    """Values for JSON, which has no NaN: at first there are no new classes."""
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def _spread(values: list[float]) -> dict[str, Any]:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {
        "mean": round(float(np.mean(values)), 4),
        "spread": round(spread, 4),
        "values": np.round(values, 4).tolist(),
    }


def as_markdown(table: dict[str, Any]) -> str:
    """A row for each method: means and spreads over the orders, in percent."""
    columns = {
        "new": "new", "new_balanced": "new, balanced", "basic": "basic", "all": "all",
        "basic_forgetting": "basic lose", "forgetting": "new forget", "backward_transfer": "backward transfer",
        "new_at_2_points": "new where basic lose 2",
    }  # fmt: skip
    rows = ["| method | " + " | ".join(columns.values()) + " | images kept |", "|---" * (len(columns) + 2) + "|"]
    for method, row in table.items():
        cells = [f"{100 * f['mean']:.1f} ± {100 * f['spread']:.1f}" for f in (row["figures"][name] for name in columns)]
        rows.append(f"| {method} | " + " | ".join(cells) + f" | {row['images'][0]:.0f} to {row['images'][-1]:.0f} |")
    return "\n".join(rows) + "\n"
