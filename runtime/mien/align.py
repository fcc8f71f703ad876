"""Landmarks or box -> crop. Training and runtime share this one definition, so that they cannot drift apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import InputError
from mien.types import Floats, Image

Anchor = Literal["box", "landmarks"]
Matrix: TypeAlias = NDArray[np.float64]

# Median YuNet landmarks over the training sets, made symmetric, as fractions of a square around the center of the box
# whose side is the mean of the box's width and height: right eye, left eye, nose tip, mouth corners.
TEMPLATE = np.array([[0.295, 0.375], [0.705, 0.375], [0.5, 0.6], [0.33, 0.775], [0.67, 0.775]], dtype=np.float32)
_TARGET_MIDDLE = complex(*TEMPLATE.mean(0, dtype=np.float64))
_TARGET = [complex(x, y) - _TARGET_MIDDLE for x, y in TEMPLATE.tolist()]

LOW_CONTRAST = 64
"""Gray levels between the 1st and 99th percentile below which the contrast of a picture is stretched."""


@dataclass(frozen=True)
class CropSpec:
    """How a face becomes the square that the network sees.

    ``size``: side of the crop in px. ``scale``: side of the square cut from the picture, in sides of the face (1 cuts
    out the face box, 1.2 leaves a margin of 10 % on each side). ``anchor``: what determines the square, the detector's
    box or a least-squares fit to the five landmarks. ``rotate``: whether to turn the line between the eyes level.
    """

    size: int
    anchor: Anchor = "box"
    scale: float = 1.0
    rotate: bool = True

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 1024:
            raise InputError(f"crop size {self.size} px is out of range; use 16 to 1024")
        if self.anchor not in get_args(Anchor):
            raise InputError(f"unknown crop anchor {self.anchor!r}; use one of {', '.join(get_args(Anchor))}")
        if not 0.1 <= self.scale <= 10:
            raise InputError(f"crop scale {self.scale} is out of range; use 0.1 to 10")


def crop_matrix(spec: CropSpec, box: Floats, landmarks: Floats | None) -> NDArray[np.float64]:
    """The (2, 3) similarity transform from picture px to crop px. Without landmarks: upright, around the box."""
    if landmarks is not None and spec.anchor == "landmarks":
        linear, center = _fit(landmarks, spec.rotate)
    else:
        center = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], dtype=np.float64)
        side = float(box[2] - box[0] + box[3] - box[1]) / 2
        angle = roll(landmarks) if landmarks is not None and spec.rotate else 0.0
        cos, sin = np.cos(angle) / side, np.sin(angle) / side
        linear = np.array([[cos, sin], [-sin, cos]])
    linear = linear * (spec.size / spec.scale)
    # Pixel centers have whole-number coordinates, so the middle of the crop is at (size - 1) / 2.
    offset = (spec.size - 1) / 2 - linear @ center
    return np.column_stack([linear, offset])


def crop(image: Image, matrix: NDArray[np.float64], size: int, out: Image | None = None) -> Image:
    """Cut one crop: uint8 BGR (H, W, 3) -> uint8 RGB (size, size, 3). Outside of the picture its border repeats.

    A crop with little contrast is stretched. ``out``: where to write the crop, for example a row of a batch.
    """
    result = np.empty((size, size, 3), np.uint8) if out is None else out
    cv2.cvtColor(stretch_contrast(warp(image, matrix, size)), cv2.COLOR_BGR2RGB, dst=result)
    return result


def stretch_contrast(image: Image) -> Image:
    """Stretch a picture with little contrast, as in dim light or fog, to the full range; others are returned unchanged.

    If the values span less than a tenth of the range, YuNet finds almost nothing, and networks trained on pictures from
    the web lose a third of their accuracy.
    """
    rows, columns = (max(1, size // 40) for size in image.shape[:2])
    sample = np.ascontiguousarray(image[::rows, ::columns])
    # A picture whose values span so little has a small standard deviation, which is quicker to compute.
    if float(cv2.meanStdDev(sample)[1].max()) > LOW_CONTRAST / 2:
        return image
    low, high = np.percentile(sample, (1, 99))
    if high - low >= LOW_CONTRAST or high == low:
        return image
    table = np.clip((np.arange(256) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table), dtype=np.uint8)


def window(image: Image, middle: Floats, side: float, size: int) -> tuple[Image, Floats, np.float32]:
    """Cut an upright square of ``side`` px around ``middle`` (2,) from a picture (H, W, 3) -> (size, size, 3).

    Also returns the position of its corner in the picture, (2,) px, and the factor by which it was enlarged. A warp
    gives the same, several times slower. Outside of the picture its border repeats.
    """
    factor = max(1, int(side / size))
    blocks = max(1, round(side / factor))
    length = blocks * factor
    left, top = (
        min(max(round(float(place - length / 2) / factor), 1 - blocks), (room - 1) // factor) * factor
        for place, room in zip(middle, image.shape[1::-1], strict=True)
    )
    part: cv2.typing.MatLike = image[max(top, 0) : top + length, max(left, 0) : left + length]
    if factor > 1:  # average whole blocks first, so that no pixel is skipped
        columns, rows = max(1, part.shape[1] // factor), max(1, part.shape[0] // factor)
        part = cv2.resize(part[: rows * factor, : columns * factor], (columns, rows), interpolation=cv2.INTER_AREA)
    if part.shape[:2] != (blocks, blocks):
        above, before = max(-top, 0) // factor, max(-left, 0) // factor
        below, behind = blocks - above - part.shape[0], blocks - before - part.shape[1]
        part = cv2.copyMakeBorder(part, above, below, before, behind, cv2.BORDER_REPLICATE)
    part = cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(part, dtype=np.uint8), np.array([left, top], np.float32), np.float32(size / length)


def turned_window(image: Image, middle: Floats, side: float, size: int, angle: float) -> tuple[Image, Matrix]:
    """Cut a square of ``side`` px around ``middle`` (2,) from a picture (H, W, 3), turned back by ``angle`` radians, so
    that a face whose ``roll`` is that angle stands upright in it.

    Returns (size, size, 3) and the transform (2, 3) from the picture to it. Outside of the picture its border repeats.
    """
    cos, sin = np.cos(angle) * size / side, np.sin(angle) * size / side
    linear = np.array([[cos, sin], [-sin, cos]])
    matrix = np.column_stack([linear, (size - 1) / 2 - linear @ middle])
    return warp(image, matrix, size), matrix


def warp(image: Image, matrix: NDArray[np.float64], size: int) -> Image:
    """A picture (H, W, 3) under a similarity transform (2, 3) -> (size, size, 3), channels in the same order."""
    # Bilinear sampling skips pixels when it shrinks, so average down by a whole factor first.
    factor = int(1 / max(np.hypot(matrix[0, 0], matrix[1, 0]), 1e-6))
    if factor >= 2:
        image, matrix = _shrink(image, matrix, size, factor)
    return np.asarray(
        cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        dtype=np.uint8,
    )


def _shrink(image: Image, matrix: NDArray[np.float64], size: int, factor: int) -> tuple[Image, NDArray[np.float64]]:
    """Cut out the part that the crop needs, average ``factor`` x ``factor`` blocks, and adapt the matrix."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ inverse.T
    height, width = image.shape[:2]
    x1, y1 = np.clip(np.floor(corners.min(0)).astype(int) - factor, 0, [width - 1, height - 1])
    x2, y2 = np.clip(np.ceil(corners.max(0)).astype(int) + factor, [x1 + 1, y1 + 1], [width, height])
    # Only whole blocks: OpenCV averages them ten times faster than others.
    columns, rows = max(1, (x2 - x1) // factor), max(1, (y2 - y1) // factor)
    part = image[y1 : min(y2, y1 + rows * factor), x1 : min(x2, x1 + columns * factor)]
    small = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    step = np.array([part.shape[1] / columns, part.shape[0] / rows])
    # The center of small pixel p is at step * (p + 0.5) - 0.5 + (x1, y1) in the picture.
    linear = matrix[:, :2] * step
    offset = matrix[:, :2] @ (step * 0.5 - 0.5 + np.array([x1, y1])) + matrix[:, 2]
    return np.asarray(small, dtype=np.uint8), np.column_stack([linear, offset])


def roll(landmarks: Floats) -> float:
    """The angle by which a face is turned clockwise in the picture plane, in radians from -pi to pi, measured on the
    lines between the eyes and between the mouth corners of its landmarks (5, 2)."""
    across = (landmarks[1] - landmarks[0]) + (landmarks[4] - landmarks[3])
    return float(np.arctan2(across[1], across[0]))


def _fit(landmarks: Floats, rotate: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least-squares similarity from the landmarks to TEMPLATE (Umeyama 1991, in its closed form for the plane).

    Returns the (2, 2) linear part, in sides of the face, and the point of the picture that becomes the middle of the
    crop.
    """
    # For five points, Python's own numbers are several times faster than arrays.
    points = [complex(x, y) for x, y in landmarks.tolist()]
    middle = sum(points) / len(points)
    spread = sum(abs(point - middle) ** 2 for point in points)
    ratio = sum((p - middle).conjugate() * t for p, t in zip(points, _TARGET, strict=True)) / max(spread, 1e-12)
    if not rotate:
        ratio = complex(max(ratio.real, 1e-6))
    if abs(ratio) < 1e-6:  # points that are not in the order of a face, such as mirrored ones
        ratio = complex(1e-6)
    center = middle + (0.5 + 0.5j - _TARGET_MIDDLE) / ratio
    linear = np.array([[ratio.real, -ratio.imag], [ratio.imag, ratio.real]])
    return linear, np.array([center.real, center.imag])
