"""Compound expressions: their names, and which of them raters saw in a face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.enrollment.votes import blends
from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.data.compounds import COMPOUNDS, parents

TEN = 10
"""The rule for blends is made for so many votes. A face with more of them, as in Taiwan's set, has shares of ten."""


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

    A face is a compound where its two expressions lead, the second with at least 3 votes of ten and both with at least
    8. Any other face has the label of the majority. Votes do not tell hatred from "angrily disgusted", so they never
    show the compounds in which one expression is the stronger one.
    """
    pair, blend = blends(votes * (TEN / np.maximum(votes.sum(1, keepdims=True), TEN)))
    labels = majority.copy()
    for place, name in enumerate(compounds, start=len(EXPRESSIONS)):
        if name in COMPOUNDS:
            labels[blend & (pair == sorted(parents(name))).all(1)] = place
    return labels


def labels_of_names(
    names: list[str | None], majority: NDArray[np.int64], compounds: tuple[str, ...]
) -> NDArray[np.int64]:
    """Names as a set has them, and canonical ids, -1 for none -> (N,) indices into ``class_names``. Faces with neither
    an id nor the name of one of the compounds have -1."""
    places = {name: place for place, name in enumerate(compounds, start=len(EXPRESSIONS))}
    named = np.array([places.get(name or "", -1) for name in names], np.int64)
    return np.where(majority >= 0, majority, named)
