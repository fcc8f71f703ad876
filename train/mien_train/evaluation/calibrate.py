"""Calibration: a temperature for each face, linear in its embedding, fitted on validation images.

One temperature for all faces (Guo et al. 2017) cannot fit both easy and hard ones: a network trained on the votes of a
crowd is not confident enough on easy faces, and one trained on single labels is too confident on hard ones. In
parameterized temperature scaling (Tomani, Cremers & Buettner 2022) the temperature depends on the input. Like any
temperature, it changes no prediction. The penalty on the weights is chosen by cross-validation; with few validation
images, one temperature remains.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien_train.evaluation.predict import Predictions
from mien_train.models.student import Student

PENALTIES = (0.01, 0.1, 1.0, 10.0, 1e4)
FOLDS = 3
LIMIT = 1.6
"""Of the absolute log-temperature, which keeps temperatures between 0.2 and 5."""
FEW = 10
"""Images below which nothing is fitted: one of them, right or wrong, would drive the temperature to its limit."""
NEXT_TO_ZERO = 1e-9
"""A log-temperature of which the exponential is 1. A bundle's graph keeps no bias of 0, and could not be read back."""
ENOUGH = 300
"""Validation images below which all faces get one temperature."""


class Head(NamedTuple):
    """Log-temperature = ``slope`` (D,) · embedding + ``intercept``."""

    slope: Tensor
    intercept: Tensor

    def __call__(self, embedding: Tensor) -> Tensor:
        """(N, D) -> (N,) temperatures, between 0.2 and 5 as the student keeps them."""
        return (embedding @ self.slope + self.intercept).clamp(-LIMIT, LIMIT).exp()


class _Rows(NamedTuple):
    """Faces of all sets: ``embedding`` (N, D), ``logits`` (N, 8), ``label`` (N,), ``weight`` (N,)."""

    embedding: Tensor
    logits: Tensor
    label: Tensor
    weight: Tensor

    def of(self, chosen: Tensor) -> _Rows:
        return _Rows(*(part[chosen] for part in self))


def fit_temperature(student: Student, sets: list[Predictions], weights: list[float] | None = None) -> float:
    """Set the student's temperature head. Returns the geometric mean of the temperatures, which all are 1 where there
    are fewer than ``FEW`` images.

    Minimizes the mean negative log-likelihood of each of ``sets``, weighted equally or by ``weights``. A large set of
    faces like those trained on would otherwise outweigh the sets of other faces.
    """
    # It may have gone on from a student with a temperature, which was fitted to other weights.
    torch.nn.init.zeros_(student.log_temperature.weight)
    torch.nn.init.constant_(student.log_temperature.bias, NEXT_TO_ZERO)
    if sum(len(part.expression) for part in sets) < FEW:
        return 1.0
    rows = _stack(sets, weights)
    head = _fit(rows, _best_penalty(rows))
    student.log_temperature.weight.data = head.slope[None].float()
    student.log_temperature.bias.data = head.intercept[None].float()
    return round(float(np.exp(np.average(head(rows.embedding).log(), weights=rows.weight))), 4)


def held_out_temperature(
    sets: list[Predictions], which: int, weights: list[float] | None = None, folds: int = 5
) -> NDArray[np.float32]:
    """(N, 1) temperatures of the faces of ``sets[which]``, each from a head that was fitted without that face."""
    rows = _stack(sets, weights)
    before = sum(len(part.expression) for part in sets[:which])
    count = len(sets[which].expression)
    fold = torch.full((len(rows.label),), -1)
    fold[before : before + count] = torch.from_numpy(np.random.default_rng(1).integers(folds, size=count))
    temperatures = torch.ones(count, dtype=torch.float64)
    penalty = _best_penalty(rows.of(fold < 0))  # chosen on the other sets
    for k in range(folds):
        unseen = fold == k
        temperatures[unseen[before : before + count]] = _fit(rows.of(~unseen), penalty)(rows.embedding[unseen])
    return temperatures.numpy()[:, None].astype(np.float32)


def _stack(sets: list[Predictions], weights: list[float] | None = None) -> _Rows:
    # Over the classes of each set, as in its figures. Others are all but impossible, yet finite, for the gradients.
    raw = np.concatenate([part.probabilities(calibrated=False) for part in sets])
    shares = weights or [1.0] * len(sets)
    each = [share / max(1, len(part.expression)) for share, part in zip(shares, sets, strict=True)]
    weight = np.concatenate([np.full(len(part.expression), w) for w, part in zip(each, sets, strict=True)])
    return _Rows(
        torch.from_numpy(np.concatenate([part.embedding for part in sets])).double(),
        torch.from_numpy(np.log(np.maximum(raw, 1e-300))),
        torch.from_numpy(np.concatenate([part.expression for part in sets])),
        torch.from_numpy(weight / weight.sum()),
    )


def _best_penalty(rows: _Rows) -> float:
    """The penalty with the best fit on held-out folds; with few images, the one that leaves a single temperature."""
    if len(rows.label) < ENOUGH:
        return PENALTIES[-1]
    fold = torch.from_numpy(np.random.default_rng(0).integers(FOLDS, size=len(rows.label)))

    def error(penalty: float) -> float:
        total = 0.0
        for k in range(FOLDS):
            head, unseen = _fit(rows.of(fold != k), penalty), rows.of(fold == k)
            total += float(_likelihood(head(unseen.embedding), unseen))
        return total

    return min(PENALTIES, key=error)


def _fit(rows: _Rows, penalty: float) -> Head:
    if len(rows.label) < FEW:
        return Head(rows.embedding.new_zeros(rows.embedding.shape[1]), torch.zeros((), dtype=torch.float64))
    mean, scale = rows.embedding.mean(0), rows.embedding.std(0) + 1e-6
    x = (rows.embedding - mean) / scale / rows.embedding.shape[1] ** 0.5
    w = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([w, b], max_iter=60, line_search_fn="strong_wolfe")
    total = rows.weight.sum()

    def closure() -> Tensor:
        optimizer.zero_grad()
        temperature = (x @ w + b).clamp(-LIMIT, LIMIT).exp()
        loss = _likelihood(temperature, rows) / total + penalty * w.square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    slope = w.detach() / scale / rows.embedding.shape[1] ** 0.5
    return Head(slope, b.detach() - mean @ slope)


def _likelihood(temperature: Tensor, rows: _Rows) -> Tensor:
    """Weighted sum of the negative log-likelihoods."""
    losses = torch.nn.functional.cross_entropy(rows.logits / temperature[:, None], rows.label, reduction="none")
    return (losses * rows.weight).sum()
