"""Faces that lie on their side or are upside down: detections that may be such faces are checked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np

from mien.align import Matrix, roll
from mien.types import Detection, Floats

SURE_SCORE, DOUBTFUL_SCORE, LEAN_RADIANS = 0.93, 0.88, 0.45
"""YuNet was trained on few faces that lie or are upside down. If it finds one, it places the eyes as if it were upright
and gives a lower score. So a face that scores below DOUBTFUL_SCORE, or that leans more than LEAN_RADIANS, is searched
for in turned windows. One below SURE_SCORE is first searched for upside down, because only such faces scored nearly as
high. Known faces that lean more than LEAN_RADIANS are searched for in windows turned by their angle."""
MIN_SCORE_GAIN, MIN_TURNED_SCORE, HIGH_SCORE = 0.03, 0.8, 0.9
"""How far the score of a turned face must exceed the upright one; its minimum; and the score from which it need only be
equal, because high scores are close together."""
MAX_OFFSET = 0.4
"""How far the middle of a face in a turned window may be from that of the box, in sides of the box."""
TURNS_RADIANS = tuple(float(turn) for turn in np.arange(1, 8) * np.pi / 4)

Found: TypeAlias = tuple[Floats, Floats, Floats]
"""Boxes (N, 4), landmarks (N, 5, 2) and scores (N,)."""


def righted_face(face: Detection, look: Callable[[Floats, float], Found], small: bool = False) -> Detection:
    """A face as it was detected or, if its score in a turned window is clearly higher, as detected there.

    Args:
        face: A detection with landmarks, from a search that assumes upright faces.
        look: Returns the faces in a window around a box (4,), turned back by an angle in radians.
        small: Whether the face was so small in that search that its score may be low for that reason alone. If its
            score in an upright window is higher, that one counts.

    Returns:
        ``face``, or a detection whose landmarks follow the turn (``mien.align.roll``).
    """
    assert face.landmarks is not None
    leans = abs(roll(face.landmarks)) > LEAN_RADIANS
    score = face.score
    if small and score < DOUBTFUL_SCORE and not leans:
        closer = _middlemost(look(face.box, 0.0), face.box)
        score = max(score, closer.score) if closer else score
    if score >= SURE_SCORE and not leans:
        return face
    if score >= DOUBTFUL_SCORE and not leans:
        upside = _middlemost(look(face.box, np.pi), face.box)
        if upside is None or upside.score < score - MIN_SCORE_GAIN:
            return face
    looks = [_middlemost(look(face.box, angle), face.box) for angle in TURNS_RADIANS]
    best = max((seen for seen in looks if seen), key=lambda seen: seen.score, default=None)
    if best is None or best.landmarks is None or best.score < score:
        return face
    again = _middlemost(look(best.box, roll(best.landmarks)), best.box)
    enough = max(MIN_TURNED_SCORE, score, min(score + MIN_SCORE_GAIN, HIGH_SCORE))
    if again is None or again.landmarks is None or again.score < enough:
        return face
    return again if abs(roll(again.landmarks)) > LEAN_RADIANS else face


def turned_back(found: Found, matrix: Matrix) -> Found:
    """Convert what was found in a window to px of the picture. ``matrix`` (2, 3) leads from the picture to the window.

    A box becomes the upright box around the ellipse that fills it.
    """
    boxes, landmarks, scores = found
    inverse = cv2.invertAffineTransform(matrix)
    linear, offset = inverse[:, :2], inverse[:, 2]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 @ linear.T + offset
    halves = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (linear**2).T)
    places = np.concatenate([middles - halves, middles + halves], axis=1)
    return places.astype(np.float32), (landmarks @ linear.T + offset).astype(np.float32), scores


def as_found(face: Detection) -> Found:
    """A detection with landmarks as arrays of length one."""
    assert face.landmarks is not None
    return face.box[None], face.landmarks[None], np.array([face.score], np.float32)


def _middlemost(found: Found, box: Floats) -> Detection | None:
    """The face with the highest score among those whose middle is near the middle of a box."""
    boxes, landmarks, scores = found
    away = np.abs((boxes[:, :2] + boxes[:, 2:] - box[:2] - box[2:]) / 2) / (box[2:] - box[:2])
    near = np.flatnonzero((away < MAX_OFFSET).all(axis=1))
    if not len(near):
        return None
    best = near[scores[near].argmax()]
    return Detection(boxes[best], landmarks[best], float(scores[best]))
