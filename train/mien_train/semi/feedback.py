"""Debiased feedback: how much the student's step on pseudo-labels helped it on a class-uniform labeled batch.

The teacher phi gives a pseudo-label y ~ p_phi, and the student moves: theta' = theta - eta grad CE(y, theta). What the
teacher should minimize is J(phi) = E_y[CE_labeled(theta')]. The gradient of an expectation over labels, with
CE_labeled(theta) as its baseline, is

    grad J = E_y[(CE_labeled(theta') - CE_labeled(theta)) grad log p_phi(y)] = E_y[fall * grad CE(y, phi)],

and to first order the fall is h = eta grad CE_labeled(theta')^T grad CE(y, theta): the teacher descends h * CE(y, phi)
(Pham et al. 2021, Meta Pseudo Labels, arXiv:2003.10580). A label that helped becomes likelier, a label that harmed
becomes less likely. For soft pseudo-labels, autograd through the student's step gives the same to first order; a test
compares the update with both.

Two things are approximations. As in the published code of Meta Pseudo Labels, y is not sampled but the likeliest label
of a face of which the teacher is sure, even where the student learned all probabilities. And a running mean of h is
subtracted: nearly all labels help a little, so nearly every label would become more certain otherwise. "Debiased" means
that the labeled batch has equally many faces of each class, so pseudo-labels of common classes give a teacher no gain.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mien_train.semi.pseudo import pseudo_loss

MOMENTUM = 0.9


def fall(labeled: Sequence[Tensor], pseudo: Sequence[Tensor], moved: Sequence[Tensor]) -> float:
    """h, from gradients of the student's parameters: ``labeled`` after its step, ``pseudo`` before.

    ``moved``: theta' - theta. eta is |moved| / |pseudo|, the learning rate itself for SGD; for AdamW that of an SGD
    step of the same length. 0 if there was no step.
    """
    length = _norm(pseudo)
    if length == 0:
        return 0.0
    return _norm(moved) / length * sum(float((a * b).sum()) for a, b in zip(labeled, pseudo, strict=True))


def feedback_loss(h: float, logits: Tensor, label: Tensor, kept: Tensor) -> Tensor:
    """The teacher's loss: h * CE(pseudo-label, teacher) over the kept faces. ``logits`` (N, 8), ``label`` and
    ``kept`` (N,).

    Raises ValueError where the teacher's logits have no gradient: the loss would do nothing.
    """
    if not logits.requires_grad:
        raise ValueError("the teacher's logits are detached, so no feedback would reach it")
    return h * pseudo_loss(logits, label, kept)


class Baseline:
    """The running mean of h."""

    def __init__(self, mean: float = 0.0):
        self.mean = mean

    def __call__(self, h: float) -> float:
        """h minus the mean of those before it."""
        above = h - self.mean
        self.mean += (1 - MOMENTUM) * above
        return above


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.stack([t.detach().float().square().sum() for t in tensors]).sum().sqrt())
