"""Faces with tracks, for tests of what is told to other systems."""

from __future__ import annotations

import numpy as np

from mien.types import Affect, Expression, Face

LABELS = ("neutral", "happiness")


def tracked(track: int, label: str = "happiness", *, affect: bool = True) -> Face:
    return Face(
        np.array((1, 2, 31, 42), dtype=np.float32),
        None,
        0.93,
        Expression(label, 0.75, {name: 0.75 if name == label else 0.25 for name in LABELS}),
        Affect(0.5, -0.25) if affect else None,
        np.zeros(4, dtype=np.float32),
        track_id=track,
    )
