"""Converts frames from a decoder or driver to 8-bit BGR, or refuses them."""

from __future__ import annotations

import cv2
import numpy as np

from mien.types import Image


def as_bgr(image: np.ndarray) -> Image:
    """A frame of a video, camera or pipeline -> uint8 BGR (H, W, 3).

    Gray becomes three equal channels, a fourth channel is dropped, 16 bits are scaled (65535 becomes 255). ValueError
    for anything that is not known to be a picture, such as compressed data or planes of other color spaces.
    """
    given, kind = image.shape, image.dtype
    if kind == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or channels not in (1, 3, 4) or min(image.shape[:2]) < 2:
        raise ValueError(f"its frames are {kind} of shape {given}, not pictures; it must give 8-bit BGR or gray")
    if channels in (1, 4):
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR)
    return np.asarray(image, dtype=np.uint8)
