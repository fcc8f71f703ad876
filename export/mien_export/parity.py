"""A check that an exported file computes the same as the trained network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.errors import MienError
from mien.types import Floats

TOLERANCE = 1e-4


class ParityError(MienError, ArithmeticError):
    """The exported file and the trained network disagree."""


@dataclass(frozen=True)
class Parity:
    """Largest absolute differences on ``crops`` crops."""

    crops: int
    expression: float
    affect: float
    embedding: float


Outputs = tuple[Floats, Floats, Floats]


def compare(reference: Outputs, exported: Outputs, tolerance: float = TOLERANCE) -> Parity:
    """Raises ParityError where a probability, valence or arousal differs by more than ``tolerance``."""
    gaps = [float(np.abs(a - b).max()) for a, b in zip(reference, exported, strict=True)]
    parity = Parity(len(reference[0]), *gaps)
    # Written so that NaN fails too.
    if not (parity.expression <= tolerance and parity.affect <= tolerance):
        raise ParityError(
            f"the exported model differs from the trained one by {parity.expression:.2e} in probability and "
            f"{parity.affect:.2e} in affect (at most {tolerance:g}); try another --opset, and report this"
        )
    return parity
