"""Would the examples of a new expression be recognized by fits that have not seen them, and what else would they be?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.enrollment.fitting import Fitter, Values
from mien.enrollment.reference_faces import Exemplars

MIN_EXAMPLES_TO_JUDGE = 8
"""With fewer examples, their agreement cannot be judged, and each is judged by a fit to all others."""
LEAST_RECOGNIZED = 0.6
"""Share of its examples that a class which can be told apart gets back."""
WIDER_LIMITS = (0.02, 0.03, 0.05, 0.07, 0.1)
"""Losses that are tried where the allowed one is too small."""

Sides = Mapping[str, Values]
"""The inputs of the fits by class, a row for each example."""


def judge(fitter: Fitter, sides: Sides, fits: Sides, label: str) -> tuple[Values, dict[str, Values], float | None]:
    """The score (N,) of each example of a class, the scores that the other classes give it, and how well the examples
    agree. If there are enough examples, two fits are used, each of which saw one half of them."""
    mine = sides[label]
    scores = {name: mine @ fitted for name, fitted in fits.items()}
    if len(mine) < MIN_EXAMPLES_TO_JUDGE:
        return scores.pop(label), scores, None
    ranks = np.zeros(len(mine))
    for half in (0, 1):
        seen = np.arange(len(mine)) % 2 == half
        again = fitter.fit_all({**sides, label: mine[seen]})
        for name, fitted in again.items():
            scores[name][~seen] = mine[~seen] @ fitted
        basic = np.sort(fitter.lead(fitter.judged[fitter.right], again[label]))
        ranks[~seen] = np.searchsorted(basic, fitter.lead(mine[~seen], again[label])) / len(basic)
    return scores.pop(label), scores, float(ranks.mean())


def won(fitter: Fitter, rows: Values, scores: Values, rivals: Sides) -> NDArray[np.bool_]:
    """Which examples would get the label of their class."""
    best = np.max([rows[:, : fitter.basic].max(axis=1), *rivals.values()], axis=0)
    return np.asarray(scores > best)


def each_alone(fitter: Fitter, sides: Sides, label: str, scores: Values) -> Values:
    """The score (N,) of each example by a fit to the other ones, where there are too few to halve them. A single
    example keeps its own of ``scores``, and so do many, which ``judge`` has judged."""
    mine = sides[label]
    if not 1 < len(mine) < MIN_EXAMPLES_TO_JUDGE:
        return scores
    others = [side for name, side in sides.items() if name != label]
    return np.array([row @ fitter.fit(np.delete(mine, i, axis=0), others) for i, row in enumerate(mine)])


def mistaken_for(basic: Sequence[str], rows: Values, scores: Values, rivals: Sides) -> dict[str, float]:
    """By label, the share of the examples that would get it instead of that of their class; the largest first."""
    names = [*basic, *rivals]
    against = np.column_stack([rows[:, : len(basic)], *rivals.values()])
    lost = against[scores <= against.max(axis=1)].argmax(axis=1)
    return {names[i]: count / len(rows) for i, count in Counter(lost.tolist()).most_common()}


def wide_enough(exemplars: Exemplars, sides: Sides, label: str, max_loss: float) -> float | None:
    """The least loss beyond ``max_loss`` with which the class would get LEAST_RECOGNIZED of its examples; None if no
    loss that can be advised is enough."""
    for limit in WIDER_LIMITS:
        if limit > max_loss:
            fitter = Fitter(exemplars, limit)
            scores, rivals, _ = judge(fitter, sides, fitter.fit_all(sides), label)
            if won(fitter, sides[label], each_alone(fitter, sides, label, scores), rivals).mean() >= LEAST_RECOGNIZED:
                return limit
    return None
