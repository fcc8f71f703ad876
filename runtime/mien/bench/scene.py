"""Drawn scenes with a face that the detector finds, so that a measurement is the same on every machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mien.engines.golden import golden_crops
from mien.errors import OutputError
from mien.paths import for_native
from mien.types import Floats, Image

SIZE, FPS, FRAMES = (640, 360), 25.0, 150
"""Of the clip: width and height in px, frame rate and number of frames."""
FACES = 5
"""Number of faces among the golden pictures."""
CODECS = (("mp4v", ".mp4", cv2.CAP_FFMPEG), ("MJPG", ".avi", cv2.CAP_OPENCV_MJPEG))
"""The first one that this OpenCV supports is used; the second is always part of OpenCV."""


def scene(size: tuple[int, int], phase: float = 0.25, faces: Sequence[Image] | None = None) -> tuple[Image, Floats]:
    """A face on a patterned background: uint8 BGR (H, W, 3) of ``size`` (width, height), and its box (4,) in px.

    ``phase`` in [0, 1) moves the face on a closed path, nearer and farther. ``faces``: precomputed ``golden_crops``.
    """
    width, height = size
    angle = 2 * math.pi * phase
    pictures = golden_crops(160) if faces is None else faces
    face = pictures[int(phase * FACES) % FACES]
    side = round(height * (0.4 + 0.06 * math.sin(3 * angle)))
    left = round((width - side) * (0.5 + 0.3 * math.cos(angle)))
    top = round((height - side) * (0.5 + 0.25 * math.sin(2 * angle)))
    ground = cv2.resize(pictures[FACES], (width, height), interpolation=cv2.INTER_LINEAR)
    picture: Image = np.asarray(ground, np.uint8) // 2 + 40
    interpolation = cv2.INTER_AREA if side < len(face) else cv2.INTER_LINEAR
    picture[top : top + side, left : left + side] = cv2.resize(face, (side, side), interpolation=interpolation)
    inner = side / 6  # margin around the face in its picture
    box = np.array([left + inner, top + inner, left + side - inner, top + side - inner / 2], np.float32)
    return np.ascontiguousarray(picture[..., ::-1]), box


def make_clip(folder: Path) -> Path:
    """Write a clip of six seconds in which a face moves and changes its expression. Raises OutputError."""
    faces = list(golden_crops(160))
    for codec, suffix, backend in CODECS:
        path = folder / f"drawn{suffix}"
        with for_native(path) as name:
            writer = cv2.VideoWriter(name, backend, cv2.VideoWriter.fourcc(*codec), FPS, SIZE)
        if writer.isOpened():
            for i in range(FRAMES):
                writer.write(scene(SIZE, i / FRAMES, faces)[0])
            writer.release()
            return path
    raise OutputError(f"OpenCV {cv2.__version__} cannot write a clip in {folder}; free space, or use an existing clip")
