"""Faces as drawn numbers, for tests of rules about embeddings and shares."""

from __future__ import annotations

import numpy as np

from mien.enrollment.classes import Examples, Personal
from mien.types import EXPRESSIONS

WIDTH = 40
EMPTY = Personal("a model", EXPRESSIONS)


def drawn(count: int, seed: int, shift: float = 0.0, direction: int = 9) -> Examples:
    """Faces that show one of eight expressions or, with a ``shift``, neutral ones with something of their own along a
    ``direction``."""
    random = np.random.default_rng(seed)
    label = np.arange(count) % (1 if shift else 8)
    embedding = random.normal(0, 1, (count, WIDTH)).astype(np.float32)
    embedding[np.arange(count), label] += 4
    embedding[:, direction] += shift
    logits = 2.0 * embedding[:, :8]
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return Examples(embedding, (weights / weights.sum(1, keepdims=True)).astype(np.float32))
