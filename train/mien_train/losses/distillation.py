"""The teacher's classes: knowledge distillation (Hinton, Vinyals & Dean 2015, arXiv:1503.02531, equations 1 and 2).

As Lee, Kim & Lee 2023 (Applied Sciences 13(11):6409, section 3.2) combine it with the labels:
``L = (1 - a) CE(y, softmax(Z_S)) + 2 a T^2 CE(softmax(Z_T / T), softmax(Z_S / T))``. The T^2 keeps the gradients of the
second part as large as those of the first, whatever the temperature.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mien_train.losses.labels import soft_cross_entropy


def distillation_loss(logits: Tensor, target: Tensor, taught: Tensor, *, alpha: float, temperature: float) -> Tensor:
    """``logits`` (N, 8) of the student; ``target`` (N, 8) probabilities, NaN rows without label; ``taught`` (N, 8)
    logits of the teacher, NaN for classes that it does not know and rows that it has not seen.

    Each part is the mean over the rows that have it. A row without a label learns from the teacher only; a row without
    a teacher learns from its label only, with full weight.
    """
    known = ~taught.isnan().all(1)
    labeled = ~target[:, 0].isnan()
    hard = (1 - alpha) * soft_cross_entropy(logits, _only(target, known))
    hard = hard * _share(known & labeled, labeled) + soft_cross_entropy(logits, _only(target, ~known)) * _share(
        ~known & labeled, labeled
    )
    return hard + 2 * alpha * temperature**2 * softened_cross_entropy(logits, taught, temperature)


def softened_cross_entropy(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of the two distributions at ``temperature``, over the classes that the teacher knows."""
    unknown = taught.isnan()
    rows = ~unknown.all(1)
    # A large number rather than infinity, so that no gradient becomes NaN.
    teacher = F.softmax(torch.nan_to_num(taught).masked_fill(unknown, -1e4) / temperature, dim=1)
    student = F.log_softmax(logits.masked_fill(unknown & rows[:, None], -1e4) / temperature, dim=1)
    losses = -(teacher * student).sum(1)
    return (losses * rows).sum() / rows.sum().clamp(min=1)


def _only(target: Tensor, rows: Tensor) -> Tensor:
    return torch.where(rows[:, None], target, torch.full_like(target, float("nan")))


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return part.sum() / whole.sum().clamp(min=1)
