"""Exemplars for a tiny bundle: what its network makes of crops of one color each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_card import change

from mien.bundle import find_bundle
from mien.engines import load_engine
from mien.enrollment.reference_faces import EXEMPLARS, pack_exemplars


def add_exemplars(folder: Path, count: int = 400) -> Path:
    """Each has the label that the network gives it."""
    bundle = find_bundle(folder)
    size = bundle.card.crop.size
    colors = np.random.default_rng(1).integers(0, 256, (count, 1, 1, 3), np.uint8)
    engine = load_engine(bundle.model_file(), threads=1)
    parts = [engine.run(np.tile(color, (1, size, size, 1))) for color in colors]
    probabilities, embedding = (np.concatenate([part[name] for part in parts]) for name in ("expression", "embedding"))
    source = np.arange(count) % 2
    return change(
        folder, {EXEMPLARS: pack_exemplars(probabilities.argmax(1), source, probabilities, embedding, "drawn")}
    )
