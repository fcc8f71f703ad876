"""Concordance (Lin 1989) as something to maximize: ``2 cov(x, y) / (var x + var y + (mean x - mean y)^2)``.

In figures it is ``evaluation.metrics.concordance``. Here it has a gradient even where nothing varies.
"""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-6


def concordance_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """1 - concordance, mean over the columns of (N, 2) valence and arousal."""
    gap = (predicted.mean(0) - truth.mean(0)) ** 2
    covariance = ((predicted - predicted.mean(0)) * (truth - truth.mean(0))).mean(0)
    spread = predicted.var(0, unbiased=False) + truth.var(0, unbiased=False)
    return 1 - (2 * covariance / (spread + gap + EPSILON)).mean()
