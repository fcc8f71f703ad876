"""Losses against labels. Rows without a label (NaN) do not count."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH_L1_BETA = 0.25


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of ``logits`` (N, C) with probabilities ``target`` (N, C); 0 if no row has a label."""
    known = ~target[:, 0].isnan()
    losses = -(torch.nan_to_num(target) * F.log_softmax(logits, dim=1)).sum(1)
    return (losses * known).sum() / known.sum().clamp(min=1)


def affect_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 (beta 0.25) of valence and arousal (N, 2): the sum of those that are not NaN, as the mean over the rows
    that have at least one; 0 if none has."""
    known = ~target.isnan()
    losses = F.smooth_l1_loss(predicted, torch.nan_to_num(target), reduction="none", beta=SMOOTH_L1_BETA)
    return (losses * known).sum() / known.any(1).sum().clamp(min=1)
