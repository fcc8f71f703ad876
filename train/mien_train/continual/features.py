"""The output of the frozen part of a network for every face: computed once, and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mien.align import CropSpec
from mien.files import replacing
from mien.types import EXPRESSIONS
from mien_train.continual.network import Tail, Trunk
from mien_train.continual.sets import Labeled
from mien_train.data.batches import EvaluationFaces, TrainingFaces
from mien_train.data.landmarks import file_stem
from mien_train.recipe import AugmentRecipe

BATCH = 128
MIRRORED = 1
"""The number of the mirrored view; view 0 is the crop itself."""


@dataclass(frozen=True, eq=False)
class Bank:
    """N faces as input of the top blocks.

    ``features`` (V, N, C, h, w): of the crop; where V is 2 or more of its mirror image, and then of crops changed at
    random. ``taught`` (V, N, 8): logits of the basic model. ``label`` (N,): indices into ``class_names``, -1 where a
    face is hidden.
    """

    features: Tensor
    taught: Tensor
    label: NDArray[np.int64]

    def rows(self, label: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.label == label)

    def batches(self, rows: NDArray[np.int64]) -> Iterator[Tensor]:
        """Features of the plain crops of some rows, batch by batch."""
        for start in range(0, len(rows), BATCH):
            yield self.features[0, torch.from_numpy(rows[start : start + BATCH])]


def half(precision: str) -> AbstractContextManager[None]:
    """Autocast of the CPU for a recipe's precision."""
    context: AbstractContextManager[None] = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    return context


def make_bank(
    cutter: tuple[Trunk, Tail], parts: list[Labeled], spec: CropSpec, precision: str, *, views: int, folder: Path
) -> Bank:
    """The features of some faces, set by set from ``folder`` if they are there."""
    trunk, tail = cutter
    parts = [part for part in parts if len(part.label)]
    features = torch.cat([_features(trunk, part, spec, precision, views, folder) for part in parts], dim=1)
    taught = [_over(view, precision, lambda x: tail(x)[0]) for view in features]
    label = np.concatenate([part.label for part in parts])
    return Bank(features, torch.stack(taught)[..., : len(EXPRESSIONS)], label)


def _features(trunk: Trunk, part: Labeled, spec: CropSpec, precision: str, views: int, folder: Path) -> Tensor:
    """(V, n, C, h, w) of a set. Its file is named after weights, crop and images."""
    path = folder / f"{file_stem(part.item.faces.name)}-{_digest(trunk, part, spec, precision, views)}.pt"
    features = _read(path)
    if features is None:
        features = torch.stack([_compute(trunk, part, spec, precision, view) for view in range(views)])
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            torch.save(features, aside)
    return features


def _read(path: Path) -> Tensor | None:
    if not path.is_file():
        return None
    stored: Tensor = torch.load(path, weights_only=True, mmap=True)
    return stored.clone()


def _compute(trunk: Trunk, part: Labeled, spec: CropSpec, precision: str, view: int) -> Tensor:
    features = []
    for crops, *_ in tqdm(_crops(part, spec, view), f"features of {part.item.faces.name}", mininterval=2.0):
        with half(precision):
            features.append(trunk(crops.flip(2) if view == MIRRORED else crops).bfloat16())
    return torch.cat(features)


def _crops(part: Labeled, spec: CropSpec, view: int) -> DataLoader[Any]:
    """Crops come first in its batches: as they are up to the mirrored view, and then changed at random, in every run
    alike."""
    count = len(part.label)
    if view <= MIRRORED:
        return DataLoader(EvaluationFaces(part.item, spec), BATCH)
    draws = [(row, view * count + row) for row in range(count)]
    return DataLoader(TrainingFaces([part.item], spec, AugmentRecipe(), 0.0), BATCH, sampler=draws)


@torch.no_grad()
def _over(features: Tensor, precision: str, of: Callable[[Tensor], Tensor]) -> Tensor:
    with half(precision):
        return torch.cat([of(_ready(part, precision)).float() for part in features.split(BATCH)])


def _ready(features: Tensor, precision: str) -> Tensor:
    """Features are stored in bfloat16 to save space; the network needs its own precision, and channels last."""
    ready = features if precision == "bf16" else features.float()
    return ready.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def outputs(tail: Tail, bank: Bank, rows: NDArray[np.int64], precision: str) -> tuple[Tensor, Tensor]:
    """Logits (n, classes so far) and embeddings (n, D) of the plain crops of some rows, float32."""
    pairs = []
    with half(precision):
        for part in bank.batches(rows):
            logits, embedding = tail(_ready(part, precision))
            pairs.append((logits.float(), embedding.float()))
    return torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs])


def _digest(trunk: Trunk, part: Labeled, spec: CropSpec, precision: str, views: int) -> str:
    digest = hashlib.sha256(f"{spec} {precision} {views} v2".encode())
    for value in trunk.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    digest.update(_images(part))
    return digest.hexdigest()[:16]


def faces_digest(*sides: list[Labeled]) -> str:
    """Hash of the labels and images of all faces, side by side and set by set."""
    digest = hashlib.sha256()
    for parts in sides:
        digest.update(f"{len(parts)} sets".encode())
        for part in parts:
            digest.update(f"{len(part.label)} faces".encode() + part.label.tobytes() + _images(part))
    return digest.hexdigest()[:16]


def _images(part: Labeled) -> bytes:
    """The hash of each image of a set, one after another."""
    return b"".join(hashlib.sha1(part.item.faces.encoded(i)).digest() for i in range(len(part.label)))
