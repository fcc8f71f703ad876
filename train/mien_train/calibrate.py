"""Temperature scaling (Guo et al. 2017, On Calibration of Modern Neural Networks): one number, fitted on validation."""

from __future__ import annotations

import numpy as np

from mien_train.predict import Predictions


def fit_temperature(validation: list[Predictions]) -> float:
    """The temperature with the least mean negative log-likelihood, every validation set counting alike; 1 without any.

    Searched by bracket over its logarithm, in which the likelihood is unimodal.
    """
    if not validation:
        return 1.0
    low, high = np.log(0.2), np.log(5.0)
    for _ in range(40):
        third = (high - low) / 3
        if _loss(validation, np.exp(low + third)) < _loss(validation, np.exp(high - third)):
            high -= third
        else:
            low += third
    return round(float(np.exp((low + high) / 2)), 4)


def _loss(validation: list[Predictions], temperature: float) -> float:
    losses = []
    for known in validation:
        chosen = known.probabilities(temperature)[np.arange(len(known.expression)), known.expression]
        losses.append(-np.log(np.maximum(chosen, 1e-12)).mean())
    return float(np.mean(losses))
