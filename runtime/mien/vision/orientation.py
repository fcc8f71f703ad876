"""Which way up a face is: detections that may be of a face which lies or stands on its head, looked at again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np

from mien.align import Matrix, roll
from mien.types import Detection, Floats

SOUND, DOUBT, LEAN = 0.93, 0.88, 0.45
"""Scores, and an angle in radians. YuNet has seen hardly any face that lies or stands on its head: where it finds one
it puts the eyes where they would be upright, and is less sure. So a face below DOUBT, or that leans more than LEAN, is
looked at in turned windows; one below SOUND, which hardly any turned face reached, upside down first, as only such
faces came near to it. Known faces that lean more than LEAN are looked for in windows that are turned as much."""
CLEARLY, LEAST, BEYOND = 0.03, 0.8, 0.9
"""By how much the score of a turned face must be above that of the upright one, how high it must be, and from where on
it need only be as high: near the top scores are close together."""
NEAR = 0.4
"""How far, in sides of a box, the middle of what a turned window shows may be from that of the box."""
TURNS = tuple(float(turn) for turn in np.arange(1, 8) * np.pi / 4)

Found: TypeAlias = tuple[Floats, Floats, Floats]
"""Boxes (N, 4), landmarks (N, 5, 2) and scores (N,)."""


def righted_face(face: Detection, look: Callable[[Floats, float], Found], small: bool = False) -> Detection:
    """A face as it is or, where the network is clearly surer of it in a turned window, as found there.

    Args:
        face: A detection with landmarks, of a search that takes all faces for upright ones.
        look: What a window around a box (4,), turned back by an angle in radians, shows.
        small: Whether the face was so small in that search that its score may be low for this alone. The score that
            it has upright in a window counts then, where that is higher.

    Returns:
        ``face``, or a detection whose landmarks follow the turn (``mien.align.roll``).
    """
    assert face.landmarks is not None
    leans = abs(roll(face.landmarks)) > LEAN
    score = face.score
    if small and score < DOUBT and not leans:
        closer = _middlemost(look(face.box, 0.0), face.box)
        score = max(score, closer.score) if closer else score
    if score >= SOUND and not leans:
        return face
    if score >= DOUBT and not leans:
        upside = _middlemost(look(face.box, np.pi), face.box)
        if upside is None or upside.score < score - CLEARLY:
            return face
    looks = [_middlemost(look(face.box, angle), face.box) for angle in TURNS]
    best = max((seen for seen in looks if seen), key=lambda seen: seen.score, default=None)
    if best is None or best.landmarks is None or best.score < score:
        return face
    again = _middlemost(look(best.box, roll(best.landmarks)), best.box)
    enough = max(LEAST, score, min(score + CLEARLY, BEYOND))
    if again is None or again.landmarks is None or again.score < enough:
        return face
    return again if abs(roll(again.landmarks)) > LEAN else face


def turned_back(found: Found, matrix: Matrix) -> Found:
    """What was found in a window, in px of the picture, from which ``matrix`` (2, 3) leads to the window.

    A box becomes that of the ellipse which fills it.
    """
    boxes, landmarks, scores = found
    inverse = cv2.invertAffineTransform(matrix)
    linear, offset = inverse[:, :2], inverse[:, 2]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 @ linear.T + offset
    halves = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (linear**2).T)
    places = np.concatenate([middles - halves, middles + halves], axis=1)
    return places.astype(np.float32), (landmarks @ linear.T + offset).astype(np.float32), scores


def as_found(face: Detection) -> Found:
    """A detection with landmarks, as arrays of one."""
    assert face.landmarks is not None
    return face.box[None], face.landmarks[None], np.array([face.score], np.float32)


def _middlemost(found: Found, box: Floats) -> Detection | None:
    """The surest of the faces whose middle is not far from that of a box."""
    boxes, landmarks, scores = found
    away = np.abs((boxes[:, :2] + boxes[:, 2:] - box[:2] - box[2:]) / 2) / (box[2:] - box[:2])
    near = np.flatnonzero((away < NEAR).all(axis=1))
    if not len(near):
        return None
    best = near[scores[near].argmax()]
    return Detection(boxes[best], landmarks[best], float(scores[best]))
