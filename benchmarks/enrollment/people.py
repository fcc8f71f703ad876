"""Sets that name people and categories, as a model sees them, and intervals over draws and people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.enrollment.blends import embed
from mien.bundle import Bundle
from mien.enrollment.classes import Examples
from mien.enrollment.fitting import Fitter
from mien_train.data.sets import load_with_landmarks

RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Shown:
    """N faces of a set: ``examples``, the basic ``expression`` (N,) or -1, the ``category`` (N,) that was to be shown,
    the ``person`` (N,), and the ``pose`` (N,): shots of one pose follow one another, seconds apart."""

    examples: Examples
    expression: NDArray[np.int64]
    category: NDArray[np.str_]
    person: NDArray[np.int64]
    pose: NDArray[np.int64]

    def label_before(self) -> NDArray[np.int64]:
        """(N,) what the basic classes say."""
        return self.examples.probabilities.argmax(axis=1)

    def of(self, rows: NDArray[np.int64]) -> Examples:
        return Examples(self.examples.embedding[rows], self.examples.probabilities[rows])


def shown(name: str, bundle: Bundle, root: Path) -> Shown:
    """A set such as ``cfee/test`` or, without people and categories (numbered and empty then), ``rafdb/test``."""
    seen = embed([name], bundle, root)[name]
    faces = load_with_landmarks(name, root).faces
    named = "category" in faces.rows.column_names
    category = np.array(faces.rows["category"])[faces.index] if named else np.full(len(faces), "")
    person = faces.people()
    person = np.arange(len(faces)) if person is None else person
    new = (category[1:] != category[:-1]) | (person[1:] != person[:-1]) | (np.diff(faces.index) != 1)
    examples = Examples(seen.embedding, seen.probabilities)
    return Shown(examples, faces.expression, category, person, np.cumsum(np.r_[0, new]))


def labels_with(fits: NDArray[np.float64], inputs: NDArray[np.float64], some: Shown) -> NDArray[np.int64]:
    """(N,) what ``Personal.read`` would label the faces: a basic class, or 8 and more for the columns of ``fits``."""
    odds = np.exp(np.clip(inputs @ fits, -30, 30))
    return np.concatenate([some.examples.probabilities, odds], axis=1).argmax(axis=1)


def fitted(fitter: Fitter, sides: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Weights (8 + W + 1, K) of all classes together."""
    return np.stack(list(fitter.fit_all(sides).values()), axis=1)


class Tally:
    """Hits and counts by draw, person and class; their balanced mean, with an interval over people and draws."""

    def __init__(self, people: NDArray[np.int64]):
        self.people = np.unique(people)
        self.hits: list[NDArray[np.float64]] = []
        self.counts: list[NDArray[np.float64]] = []

    def add(self, parts: list[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> None:
        """A draw: for each of its classes the people of its faces, and what each face scored."""
        hits, counts = (np.zeros((len(self.people), len(parts))) for _ in range(2))
        for k, (people, scores) in enumerate(parts):
            rows = np.searchsorted(self.people, people)
            np.add.at(hits[:, k], rows, scores)
            np.add.at(counts[:, k], rows, 1)
        self.hits.append(hits)
        self.counts.append(counts)

    def figure(self) -> list[float] | None:
        """The mean and its 95 % interval: people and draws are drawn again, with replacement. None without faces."""
        hits, counts = np.stack(self.hits), np.stack(self.counts)  # (draws, people, classes)
        if not counts.any():
            return None
        random, made = np.random.default_rng(0), []
        for _ in range(RESAMPLES):
            weights = np.bincount(random.integers(0, len(self.people), len(self.people)), minlength=len(self.people))
            draws = random.integers(0, len(hits), len(hits))
            made.append(_mean(np.tensordot(weights, hits[draws], (0, 1)), np.tensordot(weights, counts[draws], (0, 1))))
        middle = _mean(hits.sum(axis=1), counts.sum(axis=1))
        return [round(float(value), 4) for value in (middle, *np.nanpercentile(made, (2.5, 97.5)))]


def _mean(hits: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Of the shares by draw and class; a class without faces counts for nothing."""
    return float((hits[counts > 0] / counts[counts > 0]).mean()) if (counts > 0).any() else float("nan")
