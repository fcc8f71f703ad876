"""Raters' votes for a face: which two expressions lead, and whether the face is a blend of both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.types import EXPRESSIONS

TEN, MIN_SECOND, MIN_TOGETHER = 10, 3, 8
"""Votes, of ten, that the second expression, and both together, must have in a blend."""
ROUNDING = 1e-9


def blends(votes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """``votes`` (N, 8 or more) -> ids of the two leading expressions (N, 2), ascending, and whether they blend.

    More than ten votes for a face, as in Taiwan's set, count as their shares of ten.
    """
    counts = (votes * (TEN / np.maximum(votes.sum(1, keepdims=True), TEN)))[:, : len(EXPRESSIONS)]
    leading = np.argsort(-counts, axis=1, kind="stable")[:, :2]
    most = np.take_along_axis(counts, leading, axis=1)
    enough = (most[:, 1] >= MIN_SECOND - ROUNDING) & (most.sum(1) >= MIN_TOGETHER - ROUNDING)
    return np.sort(leading, axis=1), enough
