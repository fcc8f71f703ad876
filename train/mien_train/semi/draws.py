"""What a step sees: labelled faces, and faces without a label in a weak and a strong view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mien.errors import InputError
from mien.faces import EXPRESSIONS
from mien_train.batches import SeededDraws, TrainingFaces
from mien_train.recipe import Recipe
from mien_train.schedule import one_thread
from mien_train.semi.pools import Pools


class Drawn(NamedTuple):
    """``crops`` uint8 (B, S, S, 3) with ``target`` (B, 8), soft. ``weak`` and ``strong`` (U, S, S, 3): two views of the
    same faces. In the lead, and without a teacher, those are empty, and B counts as many labelled faces more."""

    crops: Tensor
    target: Tensor
    weak: Tensor
    strong: Tensor


def class_uniform(targets: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Weight of each row of ``targets`` (one (N, 8) per set, all labelled): all classes that occur are drawn alike, and
    all images of a class."""
    label = np.concatenate(targets).argmax(1)
    return np.asarray(1.0 / np.bincount(label, minlength=len(EXPRESSIONS))[label], dtype=np.float64)


class TwoViews(Dataset[tuple[Tensor, Tensor]]):
    """The same face by two augmentations, each with a seed of its own."""

    def __init__(self, weak: TrainingFaces, strong: TrainingFaces):
        self.weak, self.strong = weak, strong

    def __len__(self) -> int:
        return len(self.weak)

    def __getitem__(self, draw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        row, seed = draw
        return self.weak[row, seed].crop, self.strong[row, seed ^ 1].crop


def draws(pools: Pools, recipe: Recipe, start: int, total: int) -> Iterator[Drawn]:
    """Steps ``start`` to ``total``. The first ``semi.lead`` of them are labelled, as all are without a teacher.

    Draw n depends on the seed and n alone, so a run resumes anywhere. Raises InputError for batches of nothing.
    """
    optim, semi = recipe.optim, recipe.semi
    if min(optim.batch, semi.batch) < 2 or semi.lead < 0:
        raise InputError("optim.batch and semi.batch must be 2 or more, semi.lead 0 or more")
    told = TrainingFaces(pools.labelled, recipe.crop, recipe.augment, optim.smoothing)
    weights = class_uniform(told.targets) if semi.uniform else told.draw_weights(optim.balance)
    lead = min(semi.lead, total) if semi.pseudo else total
    whole = optim.batch + semi.batch
    leading = iter(_loader(told, weights, whole, recipe, recipe.seed, min(start, lead), lead))
    later = views = None
    if semi.pseudo:
        after = max(0, start - lead)
        later = iter(_loader(told, weights, optim.batch, recipe, recipe.seed + 500_009, after, total - lead))
        weak, strong = (TrainingFaces(pools.unlabelled, recipe.crop, how, 0.0) for how in (semi.weak, recipe.augment))
        alike = np.ones(len(weak))
        seed = recipe.seed + 1_000_003  # other faces than the labelled ones, where a set stands in both pools
        both = TwoViews(weak, strong)
        views = iter(_loader(both, alike, semi.batch, recipe, seed, after, total - lead))
    none = torch.empty((0, recipe.crop.size, recipe.crop.size, 3), dtype=torch.uint8)
    for step in range(start, total):
        if step < lead or later is None or views is None:
            sample, two = next(leading), (none, none)
        else:
            sample, two = next(later), next(views)
        yield Drawn(sample.crop, sample.target, *two)


def _loader(
    data: Dataset[Any], weights: NDArray[np.float64], batch: int, recipe: Recipe, seed: int, start: int, steps: int
) -> DataLoader[Any]:
    return DataLoader(
        data,
        batch,
        sampler=SeededDraws(weights, steps * batch, seed, start=start * batch),
        num_workers=recipe.workers,
        worker_init_fn=one_thread,
        drop_last=True,
    )
