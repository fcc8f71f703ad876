"""The value types that the packages of the runtime pass to each other. They are frozen and need only numpy."""

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
"""The label of an expression whose probability is below the requested minimum."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        image: uint8 BGR (H, W, 3).
        time: Seconds.
        index: Number of the frame, from 0.
        name: File, address or camera, without secrets.
    """

    image: Image
    time: float
    index: int
    name: str


@dataclass(frozen=True, eq=False)
class Detection:
    """A detected face: ``box`` (4,) x1 y1 x2 y2 px, ``landmarks`` (5, 2) px or None, ``score`` in [0, 1].

    Landmarks are in the order right eye, left eye, nose tip, right and left mouth corner. Right and left are the
    person's own, so the right eye is on the left of the picture.
    """

    box: Floats
    landmarks: Floats | None
    score: float


@dataclass(frozen=True)
class Expression:
    """What a face shows, as one of the model's classes.

    Attributes:
        label: The likeliest class, or ``uncertain`` below ``min_confidence``. In a stream the class that it was stays
            until another one leads clearly.
        confidence: Calibrated probability of the class, in [0, 1].
        probabilities: Probability of each class; they sum to 1.
    """

    label: str
    confidence: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Affect:
    """What a face shows, as a point of Russell's circumplex.

    Attributes:
        valence: Unpleasant to pleasant, in [-1, 1].
        arousal: Calm to excited, in [-1, 1].
    """

    valence: float
    arousal: float


@dataclass(frozen=True, eq=False)
class Face:
    """A detected face with what was read from it.

    Attributes:
        box: (4,) float32 x1 y1 x2 y2 px of the frame.
        landmarks: (5, 2) float32 px: the person's right eye, left eye, nose tip, right and left corner of the mouth; or
            None.
        score: Of the face detector, in [0, 1].
        expression: The classes.
        affect: Valence and arousal, or None where the model never learned them (``card.has_affect``).
        embedding: (D,) float32, the input of the model's heads.
        track_id: In a stream: stays while the person is in sight. None otherwise.
        raw: In a stream: what the detector and the model said of this one frame, before anything was smoothed or left
            out. None otherwise.
    """

    box: Floats
    landmarks: Floats | None
    score: float
    expression: Expression
    affect: Affect | None
    embedding: Floats
    track_id: int | None = None
    raw: Face | None = None
