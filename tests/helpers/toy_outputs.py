"""Batches for the toy model of ``recording_tensorrt``, and what it has to give for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.types import Image


def crops(count: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), np.uint8)


def check(outputs: dict[str, Any], batch: Image) -> None:
    sums = batch.reshape(len(batch), -1).sum(axis=1, dtype=np.float64)
    assert list(outputs) == ["expression", "affect", "embedding"]
    for (name, values), width in zip(outputs.items(), (8, 2, 16), strict=True):
        assert values.dtype == np.float32, name
        np.testing.assert_array_equal(values, (sums[:, None] + np.arange(width)).astype(np.float32), err_msg=name)
