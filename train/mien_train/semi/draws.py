"""The images of a step: labeled faces, and unlabeled ones in a weak and a strong view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mien.align import CropSpec
from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.data.batches import TrainingFaces
from mien_train.loop.loader import seeded_loader
from mien_train.recipe import Recipe
from mien_train.semi.pools import Pools


class Drawn(NamedTuple):
    """``crops`` uint8 (B, S, S, 3) and their ``target`` (B, 8), probabilities; ``large`` (B, L, L, 3): the same faces
    for the teacher. ``weak`` (U, L, L, 3) and ``strong`` (U, S, S, 3): two views of unlabeled faces, for teacher and
    student.

    In the teacher's lead, and in a run without a teacher, B is larger by U, and ``weak`` and ``strong`` are empty, as
    are the labeled crops for the network that does not train.
    """

    crops: Tensor
    large: Tensor
    target: Tensor
    weak: Tensor
    strong: Tensor


def class_uniform(targets: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Weight of each row of ``targets`` (one (N, 8) per set, all labeled): every class that occurs is drawn equally
    often, and so is every image of a class."""
    label = np.concatenate(targets).argmax(1)
    return np.asarray(1.0 / np.bincount(label, minlength=len(EXPRESSIONS))[label], dtype=np.float64)


class TwoViews(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Two augmentations of one face, the seed of the second changed by ``salt``, and the target (8,)."""

    def __init__(self, first: TrainingFaces, second: TrainingFaces, salt: int = 0):
        self.first, self.second, self.salt = first, second, salt

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, draw: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        row, seed = draw
        first = self.first[row, seed]
        second = first if self.second is self.first and not self.salt else self.second[row, seed ^ self.salt]
        return first.crop, second.crop, first.target


def teacher_crop(recipe: Recipe) -> CropSpec:
    """The student's crop, at the teacher's size."""
    return replace(recipe.crop, size=recipe.semi.teacher_size or recipe.crop.size)


def draws(pools: Pools, recipe: Recipe, start: int, total: int) -> Iterator[Drawn]:
    """Batches of the steps ``start`` to ``total``. In the first ``semi.lead`` steps only the teacher trains, if there
    is one.

    Draw n depends only on the seed and n, so a run resumes anywhere. Raises InputError for empty batches.
    """
    optim, semi = recipe.optim, recipe.semi
    if min(optim.batch, semi.batch) < 2 or semi.lead < 0:
        raise InputError("optim.batch and semi.batch must be 2 or more, semi.lead 0 or more")
    spec = teacher_crop(recipe)
    small = TrainingFaces(pools.labeled, recipe.crop, recipe.augment, optim.smoothing)
    large = small if spec == recipe.crop else TrainingFaces(pools.labeled, spec, recipe.augment, optim.smoothing)
    weights = class_uniform(small.targets) if semi.uniform else small.draw_weights(optim.balance)
    lead = min(semi.lead, total) if semi.pseudo else total
    whole, alone = optim.batch + semi.batch, large if semi.pseudo else small
    leading = iter(seeded_loader(alone, weights, whole, recipe.seed, min(start, lead), lead, recipe.workers))
    later = views = None
    if semi.pseudo:
        after, steps = max(0, start - lead), total - lead
        labeled = TwoViews(small, large)
        later = iter(seeded_loader(labeled, weights, optim.batch, recipe.seed + 500_009, after, steps, recipe.workers))
        weak = TrainingFaces(pools.unlabeled, spec, semi.weak, 0.0)
        both = TwoViews(weak, TrainingFaces(pools.unlabeled, recipe.crop, recipe.augment, 0.0), salt=1)
        seed = recipe.seed + 1_000_003  # or else it would draw the faces of the labeled batch, which are in both pools
        views = iter(seeded_loader(both, np.ones(len(weak)), semi.batch, seed, after, steps, recipe.workers))
    none = torch.empty((0, recipe.crop.size, recipe.crop.size, 3), dtype=torch.uint8)
    for step in range(start, total):
        if step < lead or later is None or views is None:
            sample = next(leading)
            crops, for_teacher = (none, sample.crop) if semi.pseudo else (sample.crop, none)
            yield Drawn(crops, for_teacher, sample.target, none, none)
        else:
            crops, for_teacher, target = next(later)
            easy, hard, _ = next(views)
            yield Drawn(crops, for_teacher, target, easy, hard)
