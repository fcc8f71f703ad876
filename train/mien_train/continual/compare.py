"""Methods of continual learning compared: the same basic model, faces and steps, over orders of the classes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mien.errors import InputError
from mien.files import replacing
from mien.types import EXPRESSIONS
from mien_train.continual.classes import class_names
from mien_train.continual.features import Bank
from mien_train.continual.figures import accuracy, course, interval, new_at_loss, summary
from mien_train.continual.learner import METHODS, Learner
from mien_train.continual.network import Tail
from mien_train.continual.recipe import ContinualRecipe

BASIC = len(EXPRESSIONS)
THIN = 3
"""Between the first and the last class only one basic face in so many is tested, to save time."""


@dataclass(frozen=True, eq=False)
class Run:
    """``stages`` (T + 1, N): predictions after 0, 1, ... new classes, -1 where a face was not tested; ``order`` (T,):
    indices of the new classes; ``images`` (T + 1,): how many are kept of earlier classes; ``logits`` (N, 8 + T) at the
    end, without caution."""

    stages: NDArray[np.int64]
    order: NDArray[np.int64]
    images: NDArray[np.int64]
    logits: NDArray[np.float32]


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
    """One method, one order of the classes."""
    names, order = class_names(recipe.classes.compounds), order_of(recipe, number)
    learner = Learner(basic, bank, recipe, METHODS[method], number)
    some, every = thinned(test), np.arange(len(test.label))
    stages, images = np.full((len(order) + 1, len(test.label)), -1), [learner.remembered]
    stages[0] = test.taught[0].argmax(1).numpy()
    for t, label in enumerate(order, start=1):
        learner.learn(names[label], label)
        rows = every if t == len(order) else some
        stages[t, rows], logits = learner.predict(test, rows)
        images.append(learner.remembered)
    return Run(stages, np.array(order), np.array(images), logits)


def compare(
    basic: Tail, bank: Bank, test: Bank, recipe: ContinualRecipe, methods: tuple[str, ...], orders: int, folder: Path
) -> dict[str, list[Run]]:
    """Every method over every order, except for what is in ``folder`` already."""
    check_methods(methods)
    folder.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Run]] = {method: [] for method in methods}
    with tqdm(total=orders * len(methods), unit="run", mininterval=5.0) as bar:
        for number in range(orders):
            for method in methods:
                path = folder / f"{method}-{number}.npz"
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


def check_methods(methods: tuple[str, ...]) -> None:
    """Raises InputError for an unknown method."""
    for method in methods:
        if method not in METHODS:
            raise InputError(f"unknown method {method!r}; they are {', '.join(METHODS)}")


def guard(path: Path, recipe: dict[str, Any]) -> None:
    """Write down how the runs beside ``path`` are made. Raises InputError where they were made otherwise."""
    if not path.is_file():
        path.write_text(json.dumps(recipe, indent=2) + "\n")
    if json.loads(path.read_text()) != recipe:
        raise InputError(f"{path.parent} holds runs of another recipe or checkpoint; choose another --out")


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
    basic = list(range(BASIC))
    classes = np.array(basic + run.order.tolist())
    before = accuracy(run.stages[0], label, basic)
    at_loss = {"new_at_2_points": new_at_loss(run.logits, classes, label, before)}
    return {**summary(run.stages, label, run.order.tolist()), **at_loss}


def share_right(runs: list[Run], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,): the share of the orders in which each face was right at the end."""
    return np.asarray(np.mean([run.stages[-1] == label for run in runs], axis=0))


def difference(
    first: list[Run], second: list[Run], label: NDArray[np.int64], *, new: bool = True
) -> dict[str, float | list[float]]:
    """Accuracy on the new (or the basic) classes of ``first`` minus that of ``second``, over the same orders and faces,
    with its 95 % interval over the faces."""
    rows = (label >= BASIC) == new
    gap = (share_right(first, label) - share_right(second, label))[rows]
    return {"mean": round(float(gap.mean()), 4), "interval": interval(gap)}


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
