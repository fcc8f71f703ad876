"""What life does to a picture of a face, each in three strengths: for ``robustness.py``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.align import TEMPLATE
from mien.types import Floats, Image

FACE = 112.0
"""Side in px of a face for which the strengths of blur are given; they shrink and grow with the face."""
SUNGLASSES, MASK = (25, 25, 25), (190, 190, 190)
"""BGR of what covers the eyes and the mouth."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture, uint8 BGR (H, W, 3), with the box (4,) and landmarks (5, 2) of its face in px."""

    image: Image
    box: Floats
    landmarks: Floats

    @property
    def side(self) -> float:
        """Mean of the box's width and height in px."""
        return float(self.box[2] - self.box[0] + self.box[3] - self.box[1]) / 2


Change = Callable[[Shown, float, np.random.Generator], Shown]


@dataclass(frozen=True)
class Kind:
    """``strengths``: from mild to severe. ``shown``: a strength in words, with ``{}`` for its number."""

    name: str
    change: Change
    strengths: tuple[float, ...]
    shown: str


def blur(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    """Gaussian, of a standard deviation of ``strength`` px on a face of FACE px."""
    return _repaint(face, cv2.GaussianBlur(face.image, (0, 0), max(strength * face.side / FACE, 0.05)))


def motion(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    """A straight move of ``strength`` px on a face of FACE px, in a random direction."""
    length, angle = strength * face.side / FACE, rng.uniform(0, math.pi)
    reach = math.ceil(length / 2) + 1
    steps = np.linspace(-length / 2, length / 2, 8 * reach + 1)
    x, y = reach + steps * math.cos(angle), reach + steps * math.sin(angle)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for i in (0, 1):  # each point of the path is shared out among the four pixels around it
        for j in (0, 1):
            left, top = np.floor(x).astype(int) + i, np.floor(y).astype(int) + j
            np.add.at(kernel, (top, left), (1 - np.abs(x - left)) * (1 - np.abs(y - top)))
    return _repaint(face, cv2.filter2D(face.image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def small(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    """A face of at most ``strength`` px; one that is smaller stays as it is."""
    height, width = face.image.shape[:2]
    factor = min(1.0, strength / face.side)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    image = cv2.resize(face.image, size, interpolation=cv2.INTER_AREA)
    scale = np.array([size[0] / width, size[1] / height], np.float32)
    return Shown(np.asarray(image, np.uint8), face.box * np.tile(scale, 2), face.landmarks * scale)


def jpeg(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    """Saved once more with quality ``strength`` (of 100), at the picture's own size."""
    data = cv2.imencode(".jpg", face.image, [cv2.IMWRITE_JPEG_QUALITY, int(strength)])[1]
    return _repaint(face, np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)))


def noise(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    """White, of a standard deviation of ``strength`` grey levels in each channel, at the picture's own size."""
    return _levels(face, face.image + strength * rng.standard_normal(face.image.shape, np.float32))


def light(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    """``strength`` times as bright, cut off at white and rounded to whole levels."""
    return _levels(face, face.image * np.float32(strength))


def contrast(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    """Differences from the picture's mean times ``strength``."""
    mean = np.float32(face.image.mean())
    return _levels(face, mean + (face.image - mean) * np.float32(strength))


def rotation(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    """Turned around the face by ``strength`` degrees, one way or the other; the border repeats."""
    center = (face.box[:2] + face.box[2:]) / 2
    turn = cv2.getRotationMatrix2D((float(center[0]), float(center[1])), strength * rng.choice((-1, 1)), 1.0)
    size = face.image.shape[1], face.image.shape[0]
    image = cv2.warpAffine(face.image, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    points = face.landmarks @ turn[:, :2].T + turn[:, 2]
    return Shown(np.asarray(image, np.uint8), face.box, points.astype(np.float32))


def eyes_covered(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    """A dark bar over both eyes, ``strength`` eye distances high, as of sunglasses."""
    return _cover(face, face.landmarks[0], face.landmarks[1], 2.0, strength, SUNGLASSES)


def mouth_covered(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    """A light bar over the mouth, ``strength`` eye distances high, as of a mask."""
    return _cover(face, face.landmarks[3], face.landmarks[4], 1.6, strength, MASK)


def grey(face: Shown, strength: float, rng: np.random.Generator) -> Shown:
    return _repaint(face, cv2.cvtColor(cv2.cvtColor(face.image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR))


KINDS = (
    Kind("Gaussian blur", blur, (1.5, 3, 5), "σ {} px"),
    Kind("motion blur", motion, (5, 10, 20), "{} px"),
    Kind("small face", small, (48, 32, 24), "{} px"),
    Kind("JPEG", jpeg, (30, 15, 7), "quality {}"),
    Kind("noise", noise, (10, 20, 40), "σ {} levels"),
    Kind("darker", light, (0.3, 0.1, 0.05), "× {}"),
    Kind("brighter", light, (1.5, 2, 3), "× {}"),
    Kind("less contrast", contrast, (0.3, 0.1, 0.05), "× {}"),
    Kind("more contrast", contrast, (1.5, 2.5, 5), "× {}"),
    Kind("rotation", rotation, (10, 20, 30), "± {}°"),
    Kind("eyes covered", eyes_covered, (0.3, 0.6, 0.9), "{} eye distances"),
    Kind("mouth covered", mouth_covered, (0.3, 0.7, 1.2), "{} eye distances"),
    Kind("grey", grey, (1,), "no color"),
)


def _repaint(face: Shown, image: NDArray[np.generic]) -> Shown:
    return Shown(np.asarray(image, np.uint8), face.box, face.landmarks)


def _levels(face: Shown, image: NDArray[np.floating]) -> Shown:
    return _repaint(face, np.clip(np.rint(image), 0, 255))


def _cover(
    face: Shown, first: Floats, second: Floats, width: float, height: float, color: tuple[int, int, int]
) -> Shown:
    """A bar along the line between two landmarks; ``width`` and ``height`` in distances between the eyes."""
    unit = float(np.linalg.norm(face.landmarks[1] - face.landmarks[0]))
    if unit < 1:  # landmarks that fell into one: where they are in most faces
        unit = float(TEMPLATE[1, 0] - TEMPLATE[0, 0]) * face.side
    along = (second - first) / max(float(np.linalg.norm(second - first)), 1e-6)
    down = np.array([-along[1], along[0]])
    middle = (first + second) / 2
    corners = [
        middle + unit / 2 * (i * width * along + j * height * down) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    image = face.image.copy()
    cv2.fillConvexPoly(image, np.rint(16 * np.array(corners)).astype(np.int32), color, cv2.LINE_AA, 4)
    return _repaint(face, image)
