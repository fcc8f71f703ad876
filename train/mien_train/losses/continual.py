"""Learning a new class, with a frozen teacher of the old ones (Maiden & Nakisa 2023, arXiv:2308.06197).

``L = (1 - g) CE(y, softmax(Z)) + g KD``, where ``KD = T^2 CE(softmax(Z_T / T), softmax(Z / T))`` is over the classes
that the teacher knows (Hinton, Vinyals & Dean 2015; the paper's code leaves out T^2), and ``g`` falls with every
epoch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mien_train.losses.distillation import softened_cross_entropy


def continual_loss(logits: Tensor, label: Tensor, taught: Tensor, *, gamma: float, temperature: float) -> Tensor:
    """``logits`` (N, C), ``label`` (N,) ids below C, ``taught`` (N, B) logits of the teacher, which knows the first B
    classes. ``gamma`` in [0, 1]."""
    hard = F.cross_entropy(logits, label)
    if gamma == 0:
        return hard
    unknown = taught.new_full((len(taught), logits.shape[1] - taught.shape[1]), float("nan"))
    soft = softened_cross_entropy(logits, torch.cat([taught, unknown], dim=1), temperature)
    return (1 - gamma) * hard + gamma * temperature**2 * soft


def gamma_at(epoch: int, gamma: float, decay: float) -> float:
    """The teacher's weight in epoch 0, 1, ...: gamma times decay to the power of the epoch."""
    return gamma * decay**epoch
