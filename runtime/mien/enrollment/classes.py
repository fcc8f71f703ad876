"""Expressions that the device learned from a few examples, and a person's face at rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mien.bundle import FILES, HEAD
from mien.bundle.card import ModelCard
from mien.enrollment.neutral import Baseline
from mien.errors import InputError
from mien.types import UNCERTAIN, Affect, Floats

MAX_LABEL_LENGTH = 40
"""Characters of a label."""
MIN_PROBABILITY = 1e-4
"""Lower probabilities are raised to this value: their logarithms are noise, especially in int8."""


@dataclass(frozen=True, eq=False)
class Examples:
    """N examples of one expression: ``embedding`` (N, D), and ``probabilities`` (N, 8) of the basic classes."""

    embedding: Floats
    probabilities: Floats

    def __len__(self) -> int:
        return len(self.embedding)

    def join(self, other: Examples) -> Examples:
        return Examples(
            np.concatenate([self.embedding, other.embedding]),
            np.concatenate([self.probabilities, other.probabilities]),
        )


@dataclass(frozen=True, eq=False)
class Personal:
    """What a device has learned in addition to the basic classes. Immutable: each change returns a new object.

    ``model``: identity of the model that computed the embeddings (``model_of``). ``basic``: its labels. ``examples``:
    by label. ``weights`` (8 + D + 1, K): learned class k has the odds ``exp(g)`` against all basic classes together,
    where g is linear in the logarithms of their probabilities, the embedding, and 1. ``rest``: a face at rest, or None.
    """

    model: str
    basic: tuple[str, ...]
    examples: Mapping[str, Examples] = field(default_factory=dict)
    weights: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    rest: Baseline | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The learned classes, in the order in which they were learned."""
        return tuple(self.examples)

    def read(self, basic: Floats, embeddings: Floats) -> NDArray[np.float64]:
        """Probabilities (N, 8 + K) of all classes from those of the basic classes (N, 8) and the embeddings (N, D).

        Rows sum to 1: learned classes take their share from all basic ones in proportion.
        """
        corrected = np.asarray(basic, np.float64)
        if self.rest is not None:
            named = [self.rest.correct(dict(zip(self.basic, row, strict=True))) for row in corrected.tolist()]
            corrected = np.array([list(row.values()) for row in named]).reshape(corrected.shape)
        if not self.examples:
            return corrected
        odds = np.exp(np.clip(features(basic, embeddings) @ self.weights, -30, 30))
        return np.asarray(np.concatenate([corrected, odds], axis=1) / (1 + odds.sum(axis=1, keepdims=True)))

    def shift(self, affect: Affect) -> Affect:
        """Valence and arousal relative to the person's face at rest, if that is known."""
        return self.rest.shift(affect) if self.rest else affect

    def renamed(self, old: str, new: str) -> Personal:
        """Raises InputError if there is no class ``old``, or if the name ``new`` is not available."""
        self._known(old)
        others = [label for label in self.labels if label != old]
        new = check_label(new, self.basic, others)
        if new in others:
            raise InputError(f"{new!r} exists already; choose another name, or remove that one first")
        return replace(self, examples={new if label == old else label: held for label, held in self.examples.items()})

    def removed(self, label: str) -> Personal:
        """Raises InputError if there is no such class."""
        self._known(label)
        others = [name != label for name in self.labels]
        examples = {name: held for name, held in self.examples.items() if name != label}
        return replace(self, examples=examples, weights=self.weights[:, others])

    def _known(self, label: str) -> None:
        if label not in self.examples:
            raise InputError(f"there is no learned expression {label!r}; there are: {', '.join(self.labels) or 'none'}")


def features(basic: Floats, embeddings: Floats) -> NDArray[np.float64]:
    """The features (N, 8 + D + 1) in which the log odds of a learned class are linear."""
    return np.concatenate([logarithms(basic), np.asarray(embeddings, np.float64), np.ones((len(basic), 1))], axis=1)


def logarithms(probabilities: Floats) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(np.asarray(probabilities, np.float64), MIN_PROBABILITY)))


def model_of(card: ModelCard) -> str:
    """The identity of a model: the sha256 of its fp32 file, from which all its precisions are made, or else of
    the first that it has; of its head, if it shares another one's network."""
    files = [file for file in (*FILES.values(), HEAD) if file in card.files]
    return card.files[files[0]] if files else ""


def check_label(label: str, basic: Sequence[str], learned: Sequence[str]) -> str:
    """``label`` with its spaces normalized. InputError unless it is a usable name, or one of ``learned``."""
    if not isinstance(label, str):
        raise InputError(f"the label is {type(label).__name__}; give a name, such as 'fearfully surprised'")
    name = " ".join(label.split())
    if not name or not name.isprintable():
        raise InputError("the label is empty or contains unprintable characters; give a name such as 'wink'")
    if len(name) > MAX_LABEL_LENGTH:
        raise InputError(
            f"the label {name[:MAX_LABEL_LENGTH]!r}... is longer than {MAX_LABEL_LENGTH} letters; give a shorter one"
        )
    if name.casefold() in {known.casefold() for known in [*basic, UNCERTAIN]}:
        raise InputError(f"{name!r} is an expression that the model knows already; give the new one another name")
    for known in learned:
        if name.casefold() == known.casefold() and name != known:
            raise InputError(f"{known!r} exists already; spell it like that to add examples, or choose another name")
    return name
