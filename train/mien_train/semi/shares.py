"""Class shares: what a student saw is not what life is like, and its head can be told so afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mien.types import EXPRESSIONS
from mien_train.data.batches import Faces, soft_targets
from mien_train.models.student import Student

LEAST = 1e-3
"""A share below it counts as it."""
Shares = NDArray[np.float64]


def labeled_shares(labeled: list[Faces]) -> Shares:
    """(8,): of each class in the labeled faces as they are, by their soft labels."""
    targets = np.concatenate([soft_targets(item.faces, 0.0) for item in labeled])
    return np.asarray(np.nanmean(targets, axis=0), dtype=np.float64)


def seen_shares(labeled: Shares, quality: dict[str, Any], *, uniform: bool) -> Shares:
    """(8,): of each class in what the student learned from: a labeled half, drawn ``uniform`` or as it is, and beside
    it the pseudo-labels that were kept, as ``pseudo_quality`` found them at last."""
    drawn = np.full(len(EXPRESSIONS), 1 / len(EXPRESSIONS)) if uniform else labeled
    pseudo = np.array([quality["classes"][label] or 0.0 for label in EXPRESSIONS])
    return np.asarray((drawn + quality["kept"] * pseudo) / (1 + quality["kept"]))


def give_back(student: Student, natural: Shares, seen: Shares) -> None:
    """Logit adjustment (Menon et al. 2021, arXiv:2007.07314): the head's biases move by log natural - log seen, so that
    classes are as likely as among labeled faces, and not as in the batches."""
    shift = np.log(np.maximum(natural, LEAST)) - np.log(np.maximum(seen, LEAST))
    bias = student.expression.bias
    with torch.no_grad():
        bias.add_(torch.as_tensor(shift).to(bias))
