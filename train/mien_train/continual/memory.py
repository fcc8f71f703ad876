"""The few images of each class that are kept to be replayed, best first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mien_train.continual.recipe import MemoryRecipe

Ranking = Callable[[NDArray[np.float32], NDArray[np.float32], np.random.Generator], NDArray[np.int64]]
"""Of the images of one class: the probability predicted for it (n,), embeddings (n, D), a generator -> rows in
order."""


def psmr(
    probability: NDArray[np.float32], embedding: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Predictive Sorting Memory Replay (Maiden & Nakisa 2023): the most confident predictions come first."""
    return np.argsort(-probability, kind="stable")


def at_random(
    probability: NDArray[np.float32], embedding: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.int64]:
    return rng.permutation(len(probability))


def herding(
    probability: NDArray[np.float32], embedding: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Each next image is the one that brings the mean of the chosen ones closest to the mean of the class (Welling
    2009, as in iCaRL, Rebuffi et al. 2017, algorithm 4), on embeddings of length 1."""
    unit = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
    mean, total = unit.mean(0), np.zeros(unit.shape[1])
    left, order = np.ones(len(unit), bool), []
    for count in range(1, len(unit) + 1):
        distance = np.linalg.norm(mean - (total + unit) / count, axis=1)
        best = int(np.where(left, distance, np.inf).argmin())
        left[best] = False
        total += unit[best]
        order.append(best)
    return np.array(order, np.int64)


RANKINGS: dict[str, Ranking] = {"psmr": psmr, "random": at_random, "herding": herding}


class Memory:
    """Rows of each class, in the order of a ranking: a fixed number in all, shared by the classes, or a fixed number of
    each class."""

    def __init__(self, recipe: MemoryRecipe):
        self.recipe = recipe
        self.kept: dict[int, NDArray[np.int64]] = {}

    def keep(self, ranked: dict[int, NDArray[np.int64]]) -> None:
        """Take in new classes, best rows first; where the memory has a fixed size, the other classes make room."""
        self.kept |= ranked
        room = self.recipe.each if self.recipe.grows else self.recipe.size // len(self.kept)
        self.kept = {label: rows[:room] for label, rows in self.kept.items()}

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.kept.values())
