"""The mathematics of enrollment: the odds of new classes against the basic ones, from a few examples.

Each new class is fitted against all basic classes together by logistic regression (separate fits against a common
reference: Begg & Gray, Biometrika 1984). The fit starts from the mixture of basic expressions that the examples show,
since compound expressions are such mixtures (Du, Tao & Martinez, PNAS 2014), and the embedding moves it from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.enrollment.classes import Examples, logarithms
from mien.enrollment.reference_faces import Exemplars
from mien.types import Floats

EMBEDDING_RIDGE, CLASS_RIDGE, BIAS_RIDGE = 0.1, 0.01, 1e-6
"""Ridge penalties that hold the weights of the embedding near 0, those of the basic classes near the mixture that the
examples show, and the bias. Chosen on validation faces, as was the number of directions (64)."""
AIMED_LOSS_SHARE = 0.5
"""Share of the allowed loss to aim for. A thousand faces measure a percentage point only to a third, and because
classes are fitted to these faces, others lose half as much again."""
MAX_STEPS, TOLERANCE = 25, 1e-5

Values = NDArray[np.float64]


class Fitter:
    """Fits new classes. Half of the exemplars are fitted to; the other half limit how much the classes may claim."""

    def __init__(self, exemplars: Exemplars, max_loss: float):
        """``max_loss``: share of the faces of each source that may lose a correct label."""
        self.exemplars = exemplars
        self.basic = exemplars.probabilities.shape[1]
        rows = _rows(exemplars.probabilities, exemplars.places)
        self.judges = _every_other(exemplars)
        self._taught, label = rows[~self.judges], exemplars.label[~self.judges]
        self._weight = 1 / np.bincount(label)[label]
        self._weight /= self._weight.sum()
        self.truth, source = exemplars.label[self.judges], exemplars.source[self.judges]
        self.judged = rows[self.judges]
        self.right = self.judged[:, : self.basic].argmax(1) == self.truth
        self._sources = [
            (self.right & (source == i), int(AIMED_LOSS_SHARE * max_loss * (source == i).sum()))
            for i in np.unique(source)
        ]
        self._lowered = 0.0

    def inputs(self, examples: Examples) -> Values:
        """Features (N, 8 + W + 1): logarithms of the basic classes, directions of the embedding, 1."""
        return _rows(examples.probabilities, self.exemplars.project(examples.embedding))

    def fit(self, mine: Values, others: Sequence[Values]) -> Values:
        """Weights (8 + W + 1,) of the class with the inputs ``mine``, next to other new classes, such that the class
        stays within the allowed loss, alone and with those that ``fit_all`` fitted last."""
        inputs = np.concatenate([mine, self._taught, *others])
        weight = np.concatenate([self._equal(mine), self._weight, *map(self._equal, others)])
        start, hold = np.zeros(inputs.shape[1]), np.full(inputs.shape[1], EMBEDDING_RIDGE)
        mixture = np.exp(mine[:, : self.basic]).mean(axis=0)
        start[: self.basic], hold[: self.basic], hold[-1] = mixture / mixture.sum(), CLASS_RIDGE, BIAS_RIDGE
        fitted = logistic(inputs, np.arange(len(inputs)) < len(mine), weight, start, hold)
        fitted[-1] -= self._over(self.lead(self.judged, fitted)) + self._lowered
        return fitted

    def _equal(self, rows: Values) -> Values:
        """Weights of a class's examples: together as much as one basic class, where all of these weigh 1."""
        return np.full(len(rows), 1 / self.basic / len(rows))

    def fit_all(self, sides: Mapping[str, Values]) -> dict[str, Values]:
        """The weights of each class, from its inputs, such that all together stay within the allowed loss."""
        self._lowered = 0.0
        fits = {
            name: self.fit(mine, [side for other, side in sides.items() if other != name])
            for name, mine in sides.items()
        }
        self._lowered = self._over(np.max([self.lead(self.judged, fitted) for fitted in fits.values()], axis=0))
        for fitted in fits.values():
            fitted[-1] -= self._lowered
        return fits

    def _over(self, leads: Values) -> float:
        """How much ``leads`` over the judged faces must be lowered so that no source loses more than allowed."""
        over = 0.0
        for right, allowed in self._sources:
            worst = np.sort(leads[right])[::-1]
            if allowed < len(worst):
                over = max(over, float(worst[allowed]) + TOLERANCE)
        return over

    def lead(self, inputs: Values, fitted: Values) -> Values:
        """(N,) how far the log odds of a class are above the logarithm of the most likely basic class."""
        return np.asarray(inputs @ fitted - inputs[:, : self.basic].max(axis=1))

    def unfold(self, fits: Sequence[Values]) -> Floats:
        """The weights (8 + D + 1, K) for the embedding itself."""
        folded = np.stack(fits, axis=1)
        axes = self.exemplars.axes.astype(np.float64) @ folded[self.basic : -1]
        bias = folded[-1] - self.exemplars.mean.astype(np.float64) @ axes
        return np.asarray(np.concatenate([folded[: self.basic], axes, bias[None]]), np.float32)


def logistic(inputs: Values, positive: NDArray[np.bool_], weight: Values, start: Values, hold: Values) -> Values:
    """Weighted logistic regression with a ridge around ``start``, by Newton's method with step halving.

    Minimizes ``sum weight * log(1 + exp(-+ inputs @ w)) + sum hold * (w - start)^2 / 2`` over w.
    """
    sign = np.where(positive, 1.0, -1.0)

    def cost(w: Values) -> float:
        return float(weight @ np.logaddexp(0, -sign * (inputs @ w)) + hold @ (w - start) ** 2 / 2)

    w, now = start.copy(), cost(start)
    for _ in range(MAX_STEPS):
        share = 1 / (1 + np.exp(-np.clip(inputs @ w, -40, 40)))
        slope = inputs.T @ (weight * (share - positive)) + hold * (w - start)
        curve = (inputs * (weight * np.maximum(share * (1 - share), 1e-6))[:, None]).T @ inputs + np.diag(hold)
        step, size = np.linalg.solve(curve, slope), 1.0
        while (then := cost(w - size * step)) > now and size > 1e-3:
            size /= 2
        if now - then < TOLERANCE * max(now, TOLERANCE):
            break
        w, now = w - size * step, then
    return np.asarray(w)


def _every_other(exemplars: Exemplars) -> NDArray[np.bool_]:
    """(N,) a mask of every other face of each class of each source."""
    chosen = np.zeros(len(exemplars.label), bool)
    for group in {*zip(exemplars.source.tolist(), exemplars.label.tolist(), strict=True)}:
        rows = np.flatnonzero((exemplars.source == group[0]) & (exemplars.label == group[1]))
        chosen[rows[1::2]] = True
    return chosen


def _rows(probabilities: Floats, places: Floats) -> Values:
    return np.asarray(np.concatenate([logarithms(probabilities), places, np.ones((len(places), 1))], axis=1))
