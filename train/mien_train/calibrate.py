"""Calibration: a temperature for each face, linear in its embedding, fitted on validation images.

One temperature for all (Guo et al. 2017) cannot fit faces of different difficulty: trained on a crowd's votes a network
is too modest on easy faces, on single labels too sure of hard ones. Parameterised temperature scaling (Tomani, Cremers
& Buettner 2022) lets it depend on the input. It changes no prediction, as any temperature. The penalty on the weights
is chosen by cross-validation, and with few validation images leaves the single temperature.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mien_train.models.student import Student
from mien_train.predict import Predictions

PENALTIES = (0.01, 0.1, 1.0, 10.0, 1e4)
FOLDS = 3
ENOUGH = 300
"""Validation images below which all faces get one temperature."""


def fit_temperature(student: Student, validation: list[Predictions]) -> float:
    """Set the student's temperature head; returns the geometric mean of the temperatures (1 without any image).

    Minimises the mean negative log-likelihood over all validation images.
    """
    if not validation:
        return 1.0
    embedding = torch.from_numpy(np.concatenate([part.embedding for part in validation])).double()
    # Over the classes of each set, as its figures are. The others are as good as impossible, but finite for gradients.
    raw = np.concatenate([part.probabilities(calibrated=False) for part in validation])
    logits = torch.from_numpy(np.log(np.maximum(raw, 1e-300)))
    label = torch.from_numpy(np.concatenate([part.expression for part in validation]))
    mean, scale = embedding.mean(0), embedding.std(0) + 1e-6
    x = (embedding - mean) / scale / embedding.shape[1] ** 0.5
    fold = torch.from_numpy(np.random.default_rng(0).integers(FOLDS, size=len(label)))

    def error(penalty: float) -> float:
        total = 0.0
        for k in range(FOLDS):
            seen, unseen = fold != k, fold == k
            w, b = _fit(x[seen], logits[seen], label[seen], penalty)
            total += float(_likelihood(x[unseen] @ w + b, logits[unseen], label[unseen])) * int(unseen.sum())
        return total

    w, b = _fit(x, logits, label, min(PENALTIES, key=error) if len(label) >= ENOUGH else PENALTIES[-1])
    slope = w / scale / embedding.shape[1] ** 0.5
    student.log_temperature.weight.data = slope[None].float()
    student.log_temperature.bias.data = (b - mean @ slope)[None].float()
    return round(float((x @ w + b).mean().exp()), 4)


def _fit(x: Tensor, logits: Tensor, label: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Slope (D,) and intercept () of the log-temperature."""
    w = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([w, b], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = _likelihood(x @ w + b, logits, label) + penalty * w.square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return w.detach(), b.detach()


def _likelihood(log_temperature: Tensor, logits: Tensor, label: Tensor) -> Tensor:
    """Mean negative log-likelihood, with the temperature kept between 0.2 and 5 as the student does."""
    scaled = logits / log_temperature.clamp(-1.6, 1.6).exp()[:, None]
    return torch.nn.functional.cross_entropy(scaled, label)
