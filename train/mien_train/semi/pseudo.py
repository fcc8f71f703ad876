"""Pseudo-labels: the teacher's likeliest class, where it is sure enough for that class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.types import EXPRESSIONS

MOMENTUM = 0.9


class Thresholds:
    """A confidence threshold per class: ``most * m_c / max(m)``, where m_c is the running mean confidence of faces
    that the teacher takes for class c (the local thresholds of FreeMatch, Wang et al. 2023, arXiv:2205.07246).

    With one threshold for all, classes of which the teacher is never sure would have no pseudo-labels.
    """

    def __init__(self, most: float):
        self.most = most
        self.confidence = torch.full((len(EXPRESSIONS),), most)

    def levels(self) -> Tensor:
        """(8,), at most ``most``."""
        return self.most * self.confidence / self.confidence.max()

    def update(self, probabilities: Tensor) -> None:
        """``probabilities`` (N, 8) of a batch. A class that was not predicted keeps its mean."""
        sure, label = probabilities.detach().float().cpu().max(1)
        for c in label.unique():
            self.confidence[c] += (1 - MOMENTUM) * (sure[label == c].mean() - self.confidence[c])


def pseudo_labels(logits: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """``logits`` (N, 8) -> class ids (N,), and which (N,) bool reach the level of their class."""
    sure, label = logits.detach().float().softmax(1).max(1)
    return label, sure >= levels.to(label.device)[label]


def pseudo_loss(logits: Tensor, target: Tensor, kept: Tensor) -> Tensor:
    """Cross-entropy of ``logits`` (N, 8) with ``target``, class ids (N,) or probabilities (N, 8): the sum over the kept
    faces divided by N, so that few sure labels have little weight; 0 if none is kept."""
    return (F.cross_entropy(logits, target, reduction="none") * kept).mean()
