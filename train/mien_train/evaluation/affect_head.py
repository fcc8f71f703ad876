"""The affect head: ridge regression of valence and arousal on a frozen student, judged by cross-validation.

Human ratings of valence and arousal exist for only a thousand images. A linear head with a strong penalty can learn
from so few, and it becomes one linear layer of the exported graph. Its figures are honest: no image is judged by a head
that was fitted on it, and the backbone was trained on none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.types import EXPRESSIONS
from mien_train.evaluation.metrics import affect_metrics
from mien_train.evaluation.predict import Predictions

Matrix = NDArray[np.float64]
PENALTIES = tuple(10.0**k for k in np.arange(-0.5, 3.6, 0.5))
FOLDS = 5
FOLD_SEED = 0
"""The folds are the same in every run: neither teachers nor students are fitted on the last one."""
MAX_STRETCH = 1.5


@dataclass(frozen=True, eq=False)
class Ridge:
    """``weight`` (F, 2) and ``bias`` (2,) on raw features."""

    weight: Matrix
    bias: Matrix

    def __call__(self, features: Matrix) -> Matrix:
        return np.clip(features @ self.weight + self.bias, -1, 1)


def head_features(predictions: Predictions) -> Matrix:
    """(N, D + 8): the embedding and all eight class probabilities, as ``Student.affect`` reads them."""
    logits = predictions.logits.astype(np.float64)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return np.concatenate([predictions.embedding, weights / weights.sum(1, keepdims=True)], axis=1)


class RidgePath:
    """Ridge regressions of one training set for any penalty, from one singular value decomposition.

    ``features`` (N, D + 8) from ``head_features``, ``truth`` (N, 2), ``weight`` (N,) of the rows (default: 1 each).
    """

    def __init__(self, features: Matrix, truth: Matrix, weight: Matrix | None = None):
        weight = np.ones(len(truth)) if weight is None else weight
        root = np.sqrt(weight)[:, None]
        # Eight probabilities would not count beside a thousand columns of the embedding, so both blocks get the same
        # total variance.
        blocks = np.full(features.shape[1], max(1, features.shape[1] - len(EXPRESSIONS)))
        blocks[-len(EXPRESSIONS) :] = len(EXPRESSIONS)
        self.mean = np.average(features, axis=0, weights=weight)
        spread = np.sqrt(np.average((features - self.mean) ** 2, axis=0, weights=weight))
        self.scale = (spread + 1e-6) * np.sqrt(blocks)
        self.center = np.average(truth, axis=0, weights=weight)
        u, self.values, self.vt = np.linalg.svd(root * (features - self.mean) / self.scale, full_matrices=False)
        self.target = u.T @ (root * (truth - self.center))

    def fit(self, penalty: float) -> Ridge:
        shrunk = (self.values / (self.values**2 + penalty))[:, None] * self.target
        weight = (self.vt.T @ shrunk) / self.scale[:, None]
        return Ridge(weight, self.center - self.mean @ weight)


def folds(labels: NDArray[np.int64], seed: int, count: int = FOLDS) -> NDArray[np.int64]:
    """(N,) fold of each image, with every class spread evenly over the folds."""
    fold = np.zeros(len(labels), np.int64)
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        fold[rows] = np.arange(len(rows)) % count
    return fold


class Anchors(NamedTuple):
    """Faces with a class, but without human valence and arousal, that a head learns from too: posed and resting faces,
    of which sets from the web have too few. Their target is the mean of their class among the human ratings.

    ``plain`` and ``mirrored`` are the same images. ``weight``: of each; an image with human ratings has 1.
    """

    plain: Predictions
    mirrored: Predictions
    weight: float


class AffectFit(NamedTuple):
    """``head``; its ``figures`` by name; ``held_out`` (N, 2): predictions for each image by a head fitted without
    it."""

    head: Ridge
    figures: dict[str, Any]
    held_out: NDArray[np.float32]


def fit_affect(
    plain: Predictions,
    mirrored: Predictions,
    seed: int = FOLD_SEED,
    *,
    unseen: bool = False,
    anchors: Anchors | None = None,
) -> AffectFit:
    """A head fitted on all images, or with ``unseen`` on all but the last fold, and the cross-validated figures of
    heads that are fitted in the same way.

    ``plain`` and ``mirrored`` are the same images, as they are and flipped. A head learns from both and is judged on
    the plain images of the fold that it was not fitted on; its penalty is chosen within its training folds. Figures:
    ``head``; ``last_fold``, the same for the images of the last fold only; and ``class_means``, a baseline: the class
    probabilities times the mean of each class, stretched in the same way.
    """
    features = head_features(plain), head_features(mirrored)
    truth, labels = plain.affect.astype(np.float64), plain.expression
    anchor_features = _AnchorFeatures(anchors)
    fold = folds(labels, seed)
    predicted, baseline = np.zeros_like(truth), np.zeros_like(truth)
    for k in range(FOLDS):
        train, test = fold != k, fold == k
        predicted[test] = _fit_both(features, truth, train, labels, seed, anchor_features)(features[0][test])
        projected = _project(features[0], truth, train, labels)
        stretch = _stretch(projected[train], truth[train])
        baseline[test] = truth[train].mean(0) + (projected[test] - projected[train].mean(0)) * stretch
    last = fold == FOLDS - 1
    rows = ~last if unseen else np.ones(len(truth), bool)
    head = _fit_both(features, truth, rows, labels, seed, anchor_features)
    held_out = predicted.astype(np.float32)
    figures = {
        "head": affect_metrics(held_out, plain.affect),
        "last_fold": affect_metrics(held_out[last], plain.affect[last]),
        "class_means": affect_metrics(baseline.astype(np.float32), plain.affect),
    }
    return AffectFit(head, figures, held_out)


class _AnchorFeatures:
    """The features of anchors, plain and mirrored; without anchors it holds none."""

    def __init__(self, anchors: Anchors | None):
        parts = (anchors.plain.labeled(), anchors.mirrored.labeled()) if anchors else ()
        self.features = [head_features(part) for part in parts]
        self.labels = [part.expression for part in parts]
        self.weight = anchors.weight if anchors else 0.0

    def beside(self, features: list[Matrix], truth: Matrix, labels: NDArray[np.int64]) -> RidgePath:
        """Ridge regressions of rows with human ratings, (N, D + 8) each way, and of the anchors whose class they
        show."""
        means = np.full((len(EXPRESSIONS), 2), np.nan)
        for label in np.unique(labels[labels >= 0]):
            means[label] = truth[labels == label].mean(0)
        added = [means[label] for label in self.labels]
        x = np.concatenate([*features, *self.features])
        y = np.concatenate([np.tile(truth, (len(features), 1)), *added])
        weight = np.ones(len(y))
        weight[len(features) * len(truth) :] = self.weight
        known = ~np.isnan(y[:, 0])
        return RidgePath(x[known], y[known], weight[known])


def _fit_both(
    features: tuple[Matrix, Matrix],
    truth: Matrix,
    rows: NDArray[np.bool_],
    labels: NDArray[np.int64],
    seed: int,
    anchor_features: _AnchorFeatures,
) -> Ridge:
    """Fit on the plain and mirrored images of ``rows``, with the penalty that has the least error over inner folds.

    A regression on noisy features predicts values too close to the mean, which lowers concordance. So the deviations
    from the mean are stretched afterward to the spread of the truth, by a factor measured on the inner folds.
    """
    inner = np.where(rows, folds(labels, seed + 1), -1)

    def path(chosen: NDArray[np.bool_]) -> RidgePath:
        return anchor_features.beside([part[chosen] for part in features], truth[chosen], labels[chosen])

    predicted = np.zeros((len(PENALTIES), *truth.shape))
    for k in range(FOLDS):
        inside = path(rows & (inner != k))
        for p, penalty in enumerate(PENALTIES):
            predicted[p, inner == k] = inside.fit(penalty)(features[0][inner == k])
    best = int(((predicted[:, rows] - truth[rows]) ** 2).sum((1, 2)).argmin())
    head = path(rows).fit(PENALTIES[best])
    stretch = _stretch(predicted[best, rows], truth[rows])
    center = truth[rows].mean(0)
    return Ridge(head.weight * stretch, center + (head.bias - center) * stretch)


def _stretch(predicted: Matrix, truth: Matrix) -> Matrix:
    """(2,) factors, from 1 to MAX_STRETCH, that give the predictions the spread of the truth."""
    return np.clip(truth.std(0) / (predicted.std(0) + 1e-9), 1.0, MAX_STRETCH)


def _project(features: Matrix, truth: Matrix, rows: NDArray[np.bool_], labels: NDArray[np.int64]) -> Matrix:
    means = np.stack(
        [
            truth[rows & (labels == c)].mean(0) if (rows & (labels == c)).any() else truth[rows].mean(0)
            for c in range(len(EXPRESSIONS))
        ]
    )
    return np.asarray(features[:, -len(EXPRESSIONS) :] @ means)
