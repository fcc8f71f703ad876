"""Turns pictures with non-square pixels or a wrong orientation into pictures as they should be displayed."""

from __future__ import annotations

import cv2
import numpy as np

from mien.errors import SourceError
from mien.types import Image

SQUARE_TOLERANCE = 0.01
"""Pixels whose width and height differ by a smaller share count as square: scaling a video leaves such differences."""
MAX_ASPECT = 4.0
"""Pixels of real formats are at most about three times as wide as high, or as high as wide."""
TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
"""OpenCV's code for turning a picture clockwise by so many degrees."""


def pixel_aspect(width: float, height: float, name: str) -> float:
    """Width of the pixels of ``name`` over their height, 1.0 if the source does not say.

    SourceError for an impossible value.
    """
    if width <= 0 or height <= 0:
        return 1.0
    aspect = width / height
    if not 1 / MAX_ASPECT <= aspect <= MAX_ASPECT:
        raise SourceError(
            f"{name} claims pixels {aspect:.3g} times as wide as high, so the shape of its pictures is unknown; make "
            "them square with: ffmpeg -i IN -vf setsar=1 OUT.mp4"
        )
    return 1.0 if abs(aspect - 1) < SQUARE_TOLERANCE else aspect


def check_turn(degrees: float, name: str) -> int:
    """The angle as 0, 90, 180 or 270. SourceError for any other angle."""
    turn = round(degrees) % 360
    if turn and turn not in TURNS:
        raise SourceError(
            f"{name} must be turned by {turn} degrees, but only quarter turns are supported; turn it with: ffmpeg "
            "-i IN OUT.mp4"
        )
    return turn


def upright(image: np.ndarray, aspect: float = 1.0, turn: int = 0, mirrored: bool = False) -> Image:
    """uint8 (H, W, 3) with pixels ``aspect`` times as wide as high -> a picture with square pixels and at least as much
    detail, then mirrored left to right, and turned clockwise by 0, 90, 180 or 270 degrees."""
    height, width = image.shape[:2]
    if aspect != 1:
        size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    if mirrored:
        image = cv2.flip(image, 1)
    if turn:
        image = cv2.rotate(image, TURNS[turn])
    return np.asarray(image, dtype=np.uint8)
