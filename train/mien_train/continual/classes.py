"""Compound expressions: their names, and which of them raters saw in a face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.enrollment.votes import blends
from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.data.compounds import parents


def class_names(compounds: tuple[str, ...]) -> tuple[str, ...]:
    """The basic expressions in their order, then the compounds in theirs. Raises InputError for unknown or repeated
    compounds, and where there are none."""
    for name in compounds:
        parents(name)
    if not compounds or len(set(compounds)) < len(compounds):
        raise InputError("classes.compounds must name at least one compound, and each of them once")
    return (*EXPRESSIONS, *compounds)


def labels_of_votes(
    votes: NDArray[np.int64], majority: NDArray[np.int64], compounds: tuple[str, ...]
) -> NDArray[np.int64]:
    """``votes`` (N, 10) counts, ``majority`` (N,) canonical ids, -1 for none -> (N,) indices into ``class_names``.

    A face is a compound where its two expressions lead, the second with at least 3 votes and both with at least 8.
    Any other face has the label of the majority.
    """
    pair, blend = blends(votes)
    labels = majority.copy()
    for place, name in enumerate(compounds, start=len(EXPRESSIONS)):
        labels[blend & (pair == sorted(parents(name))).all(1)] = place
    return labels
