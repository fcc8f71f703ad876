"""The teacher's valence and arousal: the teacher-bounded regression loss (Chen, Choi, Yu, Han & Chandraker 2017,
NeurIPS, equation 4), as Lee, Kim & Lee 2023 (Applied Sciences 13(11):6409, section 3.2) use it.

``L_b = |R_s - y|^2 if |R_s - y|^2 + m > |R_t - y|^2 else 0`` and ``L_reg = SmoothL1(R_s, y) + v L_b``: the student pays
the second term only while it is not better than the teacher by the margin m.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mien_train.losses.labels import affect_loss


def teacher_bound(predicted: Tensor, target: Tensor, taught: Tensor, margin: float) -> Tensor:
    """L_b; all are (N, 2) valence and arousal. Mean over the rows that have a label and a teacher (no NaN)."""
    known = ~(target.isnan() | taught.isnan()).any(1)
    truth = torch.nan_to_num(target)
    student = (predicted - truth).square().sum(1)
    teacher = (torch.nan_to_num(taught) - truth).square().sum(1)
    charged = known & (student + margin > teacher)
    return (student * charged).sum() / known.sum().clamp(min=1)


def bounded_affect_loss(predicted: Tensor, target: Tensor, taught: Tensor, *, margin: float, nu: float) -> Tensor:
    """L_reg. For a row without human ratings, the teacher's valence and arousal are the target of the smooth L1."""
    guided = torch.where(target.isnan(), taught, target)
    return affect_loss(predicted, guided) + nu * teacher_bound(predicted, target, taught, margin)
