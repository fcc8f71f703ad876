"""Who is learned from and who is tested in each run of a comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien_train.continual.features import Bank
from mien_train.continual.recipe import ContinualRecipe

FOLDS = 5


def sides(bank: Bank, test: Bank, recipe: ContinualRecipe, number: int) -> tuple[Bank, NDArray[np.int64]]:
    """-> the faces that run ``number`` learns from, and the rows of ``test`` that it is tested on.

    With ``classes.split`` "images" the last rows of ``bank`` are those of ``test``. A fifth of each class, another one
    for each number up to five, is tested; it is hidden in the bank.
    """
    count = len(test.label)
    if recipe.classes.split != "images":
        return bank, np.arange(count)
    shuffled = np.random.default_rng(recipe.seed).permutation(count)
    by_class = shuffled[np.argsort(test.label[shuffled], kind="stable")]
    asked = np.sort(by_class[number % FOLDS :: FOLDS])
    label = bank.label.copy()
    label[len(label) - count + asked] = -1
    return replace(bank, label=label), asked
