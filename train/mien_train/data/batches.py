"""Samples for training and evaluation: which image is drawn when, and its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from mien.align import CropSpec, crop, crop_matrix
from mien.types import EXPRESSIONS, Image
from mien_train.data.augment import augmented_crop
from mien_train.data.datasets import FaceSet
from mien_train.data.landmarks import Landmarks
from mien_train.data.pixels import Pixels
from mien_train.recipe import AugmentRecipe

Evaluated = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Sample(NamedTuple):
    """Tensors of one image, or of a batch, stacked. NaN where there is no label, or no teacher.

    ``crop`` uint8 (size, size, 3) RGB, ``target`` (8,) probabilities, ``affect`` (2,) valence and arousal; from a
    cached teacher ``taught_logits`` (8,), ``taught_affect`` (2,) and ``taught_embedding`` (E,).
    """

    crop: torch.Tensor
    target: torch.Tensor
    affect: torch.Tensor
    taught_logits: torch.Tensor
    taught_affect: torch.Tensor
    taught_embedding: torch.Tensor


@dataclass(frozen=True, eq=False)
class Taught:
    """A teacher's outputs on the N images of a set: ``logits`` (N, 8), ``affect`` (N, 2), ``embedding`` (N, E or 0)."""

    logits: NDArray[np.float32]
    affect: NDArray[np.float32]
    embedding: NDArray[np.float32]


def untaught(count: int) -> Taught:
    """Outputs for a set without a teacher: NaN everywhere."""
    blank = np.full((count, len(EXPRESSIONS) + 2), np.nan, np.float32)
    return Taught(blank[:, :-2], blank[:, -2:], np.zeros((count, 0), np.float32))


@dataclass(frozen=True, eq=False)
class Faces:
    """A set with its landmarks, in px of its pictures, and with the pictures cut out around the faces."""

    faces: FaceSet
    landmarks: Landmarks
    pixels: Pixels

    def crop(self, i: int, spec: CropSpec) -> Image:
        """uint8 RGB (size, size, 3), as the runtime would cut it."""
        box, points = self.pixels.marks.at(i)
        return crop(self.pixels.picture(i), crop_matrix(spec, box, points), spec.size)

    def named(self, name: str) -> Faces:
        """The same faces under another name."""
        return replace(self, faces=replace(self.faces, name=name))

    def subset(self, chosen: NDArray[Any]) -> Faces:
        return Faces(self.faces.subset(chosen), self.landmarks.subset(chosen), self.pixels.subset(chosen))

    def sample(self, count: int, seed: int) -> Faces:
        """At most ``count`` rows drawn at random."""
        order = np.random.default_rng(seed).permutation(len(self.faces))
        return self.subset(np.sort(order[:count]))


def soft_targets(faces: FaceSet, smoothing: float) -> NDArray[np.float32]:
    """(N, 8): the votes where there are any, else the smoothed label, else NaN (no expression label)."""
    count = len(EXPRESSIONS)
    targets = faces.soft.copy()
    plain = np.isnan(targets[:, 0]) & (faces.expression >= 0)
    targets[plain] = np.eye(count, dtype=np.float32)[faces.expression[plain]] * (1 - smoothing) + smoothing / count
    return np.asarray(targets)


def doubtful(faces: FaceSet, taught: Taught, doubt: float) -> NDArray[np.bool_]:
    """(N,) whether the teacher gives a single annotator's label a lower probability than ``doubt``. Votes always
    stay."""
    logits = np.nan_to_num(taught.logits.astype(np.float64), nan=-np.inf)
    with np.errstate(invalid="ignore"):  # rows that no teacher saw stay NaN, which compares as False
        weights = np.exp(logits - logits.max(1, keepdims=True))
        share = np.take_along_axis(weights, np.maximum(faces.expression, 0)[:, None], axis=1)[:, 0] / weights.sum(1)
        return np.asarray((faces.expression >= 0) & np.isnan(faces.soft[:, 0]) & (share < doubt))


class TrainingFaces(Dataset[Sample]):
    """Augmented crops of several sets. Indexed by (row, seed), so that a draw can be repeated exactly."""

    def __init__(
        self,
        sets: list[Faces],
        spec: CropSpec,
        augment: AugmentRecipe,
        smoothing: float,
        taught: list[Taught] | None = None,
        shares: list[float] | None = None,
        doubt: float = 0.0,
    ):
        """``taught``: a teacher's outputs on each set, from a cache. ``shares``: how often each set is drawn, as a
        multiple of its size (default: 1 for all). ``doubt``: see ``DistillRecipe``."""
        self.sets, self.spec, self.augment = sets, spec, augment
        self.taught = taught or [untaught(len(item.faces)) for item in sets]
        self.shares = shares or [1.0] * len(sets)
        self.targets = [soft_targets(item.faces, smoothing) for item in sets]
        if doubt:
            for item, target, outputs in zip(sets, self.targets, self.taught, strict=True):
                target[doubtful(item.faces, outputs, doubt)] = np.nan
        self.starts = np.cumsum([0] + [len(item.faces) for item in sets])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, draw: tuple[int, int]) -> Sample:
        row, seed = draw
        k = int(np.searchsorted(self.starts, row, side="right")) - 1
        i = row - int(self.starts[k])
        item = self.sets[k]
        box, points = item.pixels.marks.at(i)
        rng = np.random.default_rng(seed)
        patch = augmented_crop(item.pixels.picture(i), self.spec, box, points, self.augment, rng)
        taught = self.taught[k]
        arrays = (self.targets[k], item.faces.affect, taught.logits, taught.affect, taught.embedding)
        return Sample(torch.from_numpy(patch), *(torch.from_numpy(array[i]) for array in arrays))

    def draw_weights(self, balance: float, *, unlabeled: bool = False) -> NDArray[np.float64]:
        """Weight of each row. Within a set, class c is drawn in proportion to count(c) ** (1 - balance).

        Rows without an expression label have weight 0 or, with ``unlabeled`` (a teacher labels them), the mean weight
        of their set. Balancing the classes of a set does not change its share of the draws, its size times ``shares``.
        """
        weights = []
        for targets, share in zip(self.targets, self.shares, strict=True):
            labeled = ~np.isnan(targets[:, 0])
            label = np.where(labeled, np.nan_to_num(targets).argmax(1), -1)
            count = np.bincount(label[labeled], minlength=len(EXPRESSIONS)).astype(np.float64)
            weight = np.where(labeled, np.maximum(count, 1)[label] ** -balance, 0.0)
            weight = weight * labeled.sum() / max(weight.sum(), 1e-12)
            weights.append(share * (weight + ~labeled if unlabeled else weight))
        return np.concatenate(weights)


class SeededDraws(Sampler[tuple[int, int]]):
    """``length`` draws with replacement. Draw n of a run depends on (seed, n) alone, so a run resumes anywhere."""

    def __init__(self, weights: NDArray[np.float64], length: int, seed: int, start: int = 0):
        self.cumulative = np.cumsum(weights / weights.sum())
        self.length, self.seed, self.start = length, seed, start

    def __len__(self) -> int:
        return self.length - self.start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for n in range(self.start, self.length):
            rng = np.random.default_rng((self.seed, n))
            row = int(np.searchsorted(self.cumulative, rng.random(), side="right"))
            yield min(row, len(self.cumulative) - 1), int(rng.integers(2**63))


class EvaluationFaces(Dataset[Evaluated]):
    """Plain crops of one set in order."""

    def __init__(self, item: Faces, spec: CropSpec):
        self.item, self.spec = item, spec

    def __len__(self) -> int:
        return len(self.item.faces)

    def __getitem__(self, i: int) -> Evaluated:
        faces = self.item.faces
        patch = torch.from_numpy(self.item.crop(i, self.spec))
        return patch, torch.tensor(faces.expression[i]), torch.from_numpy(faces.affect[i])
