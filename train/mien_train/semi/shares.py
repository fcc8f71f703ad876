"""Class shares: a correction of the head, since a student did not see the classes as often as they occur."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mien.types import EXPRESSIONS
from mien_train.data.batches import Faces, soft_targets
from mien_train.models.student import Student

LEAST = 1e-3
"""Smaller shares count as this."""
Shares = NDArray[np.float64]


def labeled_shares(labeled: list[Faces]) -> Shares:
    """(8,): share of each class among all labeled faces, by their soft labels."""
    targets = np.concatenate([soft_targets(item.faces, 0.0) for item in labeled])
    return np.asarray(np.nanmean(targets, axis=0), dtype=np.float64)


def seen_shares(labeled: Shares, quality: dict[str, Any], *, uniform: bool) -> Shares:
    """(8,): share of each class in what the student learned from: labeled faces, drawn ``uniform`` over the classes
    that occur or as they are, and the pseudo-labels that were kept, by the last ``pseudo_quality``."""
    present = labeled > 0
    drawn = present / present.sum() if uniform else labeled
    pseudo = np.array([quality["classes"][label] or 0.0 for label in EXPRESSIONS])
    return np.asarray((drawn + quality["kept"] * pseudo) / (1 + quality["kept"]))


def correct_shares(student: Student, natural: Shares, seen: Shares) -> None:
    """Logit adjustment (Menon et al. 2021, arXiv:2007.07314): log natural - log seen is added to the biases of the
    head, so that it expects each class as often as among the labeled faces, and not as in the batches."""
    shift = np.log(np.maximum(natural, LEAST)) - np.log(np.maximum(seen, LEAST))
    bias = student.expression.bias
    with torch.no_grad():
        bias.add_(torch.as_tensor(shift).to(bias))
