"""A head that a bundle lays over the network of another one, so that more classes need no second network."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.engines import Engine
from mien.errors import ModelInvalid
from mien.types import Floats, Image

MOST_LOG_TEMPERATURE = 1.6
"""The logarithm of a temperature stays between minus and plus this, in exported graphs too."""


@dataclass(frozen=True, eq=False)
class Head:
    """A linear layer on the embedding, for C classes, and their temperature, which depends on the face.

    ``weight`` (C, D) and ``bias`` (C,) give the logits; ``temperature`` (D + 1,) the logarithm of the temperature, its
    constant last (parameterized temperature scaling, Tomani, Cremers & Buettner 2022, arXiv:2102.12182).
    """

    weight: Floats
    bias: Floats
    temperature: Floats

    def __call__(self, embedding: Floats) -> Floats:
        """(N, D) -> calibrated probabilities (N, C), float32."""
        heat = embedding @ self.temperature[:-1] + self.temperature[-1]
        logits = embedding @ self.weight.T + self.bias
        logits = logits / np.exp(np.clip(heat, -MOST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE))[:, None]
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)

    def save(self, path: Path) -> None:
        np.savez(path, weight=self.weight, bias=self.bias, temperature=self.temperature)


def read_head(path: Path, classes: int, width: int) -> Head:
    """The head of a bundle of ``classes`` labels, on an embedding of ``width``. ModelInvalid if it is none, or does not
    fit."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            parts = [np.asarray(stored[name], np.float32) for name in ("weight", "bias", "temperature")]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelInvalid(f"{path} holds no head ({error}); export the bundle again") from error
    shapes = [part.shape for part in parts]
    if shapes != [(classes, width), (classes,), (width + 1,)] or not all(np.isfinite(part).all() for part in parts):
        raise ModelInvalid(f"{path} does not fit its card: {shapes} for {classes} labels; export the bundle again")
    return Head(*parts)


class HeadedEngine:
    """An engine whose ``expression`` is that of a head on its embedding; all else is the engine's own."""

    def __init__(self, engine: Engine, head: Head):
        self.name = engine.name
        self.placed = getattr(engine, "placed", None)
        self._engine, self._head = engine, head

    def run(self, batch: Image) -> Mapping[str, Floats]:
        """uint8 (N, H, W, 3) -> outputs by name."""
        outputs = self._engine.run(batch)
        return {**outputs, "expression": self._head(outputs["embedding"])}
