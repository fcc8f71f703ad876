"""Made-up scenes and sequences of embeddings, and the shape of an encoder that is small enough for them."""

from __future__ import annotations

import numpy as np

from mien_train.temporal.network import TemporalShape
from mien_train.temporal.render import frame_times
from mien_train.temporal.scenes import Scenes
from mien_train.temporal.sequences import Sequences, realize

SHAPE = TemporalShape(embedding=6, window=8, width=16, heads=2, dropout=0.0)
COUNT = 40


def tiny_scenes(count: int = 6, seed: int = 0) -> Scenes:
    """Embeddings that are their class with noise; a student that is unsure."""
    rng = np.random.default_rng(seed)
    labels = np.stack([[0, *rng.choice(np.arange(1, 4), 2, replace=False)] for _ in range(count)])
    noisy = np.eye(6)[labels][:, :, None] + rng.normal(0, 0.8, (count, 3, COUNT, 6))
    logits = np.pad(noisy, [(0, 0)] * 3 + [(0, 2)])
    return Scenes(
        times=np.stack([frame_times(COUNT, rng) for _ in range(count)]),
        labels=labels,
        truth=np.stack([labels / 4, -labels / 4], axis=-1).astype(np.float32),
        embedding=noisy.astype(np.float16),
        expression=(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(np.float32),
        affect=(noisy[..., :2] / 4).astype(np.float32).clip(-1, 1),
        origin=np.zeros(count, np.int64),
    )


def sequences(count: int = 6, seed: int = 0) -> Sequences:
    return realize(tiny_scenes(count, seed), np.arange(count), np.random.default_rng(seed))
