"""The value types that the floors of the runtime pass to each other. Frozen, and numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""The canonical classes, in AffectNet's and EmoNet's order."""
UNCERTAIN = "uncertain"
"""The label of an expression whose probability is lower than what was asked for."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source: ``image`` uint8 BGR (H, W, 3), ``time`` in seconds, ``index`` from 0, ``name``."""

    image: Image
    time: float
    index: int
    name: str


@dataclass(frozen=True, eq=False)
class Detection:
    """A face found: ``box`` (4,) x1 y1 x2 y2 px, ``landmarks`` (5, 2) px or None, ``score`` in [0, 1].

    Landmarks come in the order right eye, left eye, nose tip, right and left mouth corner, right and left being the
    person's own (so the right eye is on the left of the picture).
    """

    box: Floats
    landmarks: Floats | None
    score: float


@dataclass(frozen=True)
class Expression:
    """``label`` is the likeliest class, ``confidence`` its calibrated probability, ``probabilities`` sums to 1."""

    label: str
    confidence: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Affect:
    """Russell's circumplex: ``valence`` (unpleasant to pleasant) and ``arousal`` (calm to excited) in [-1, 1]."""

    valence: float
    arousal: float


@dataclass(frozen=True, eq=False)
class Face:
    """A detected face with what was read from it. ``embedding`` is (D,) float32, the input of the model's heads.

    ``affect`` is None where the model never learned valence and arousal (``card.has_affect``).

    A stream also gives ``track_id``, which stays while the person is in sight, and ``raw``: what the detector and the
    model said of this one frame, before anything was smoothed or left out. Both are None outside of a stream.
    """

    box: Floats
    landmarks: Floats | None
    score: float
    expression: Expression
    affect: Affect | None
    embedding: Floats
    track_id: int | None = None
    raw: Face | None = None
