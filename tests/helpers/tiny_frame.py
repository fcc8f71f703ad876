"""A small gray frame, for tests that need one but not what is on it."""

from __future__ import annotations

import numpy as np

from mien.types import Frame


def frame(index: int = 0, size: tuple[int, int] = (64, 48), name: str = "a.mp4") -> Frame:
    """uint8 of ``size`` (width, height), at 25 frames a second."""
    return Frame(np.full((size[1], size[0], 3), 40, dtype=np.uint8), index / 25, index, name)
