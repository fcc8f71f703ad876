"""What callers hand in, looked at before anything works on it: boxes, landmarks, numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import InputError
from mien.types import Floats

FARTHEST = 1e6
"""Px from the corner of a frame within which boxes and landmarks make sense; far beyond, float32 loses single px."""
MOST_THREADS = 256
"""More only take seconds to start."""


def check_boxes(boxes: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """(N, 4) float32 boxes that overlap the picture, or InputError."""
    array = _floats(boxes, "boxes")
    if array.size == 0:
        return np.zeros((0, 4), dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(f"boxes have shape {array.shape}, expected (N, 4): x1 y1 x2 y2 in px")
    height, width = shape[:2]
    for i, (x1, y1, x2, y2) in enumerate(array):
        if x2 - x1 < 1 or y2 - y1 < 1:
            raise InputError(f"box {i} ({x1:g}, {y1:g}, {x2:g}, {y2:g}) has no size; give x1 y1 x2 y2, not x y w h")
        if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
            raise InputError(f"box {i} ({x1:g}, {y1:g}, {x2:g}, {y2:g}) lies outside of the {width}x{height} frame")
    return array


def check_landmarks(landmarks: ArrayLike, boxes: Floats) -> Floats:
    """(N, 5, 2) float32 landmarks that belong to ``boxes`` (N, 4), or InputError."""
    array = _floats(landmarks, "landmarks")
    if array.shape != (len(boxes), 5, 2):
        raise InputError(f"landmarks have shape {array.shape}, expected ({len(boxes)}, 5, 2): five points a box, in px")
    for i, (points, box) in enumerate(zip(array, boxes, strict=True)):
        if np.ptp(points, axis=0).max() < 1:
            raise InputError(f"the landmarks of box {i} fall on one spot; leave landmarks out if there are none")
        middle = points.mean(axis=0)
        if (middle < box[:2]).any() or (middle > box[2:]).any():
            raise InputError(f"the landmarks of box {i} lie outside of it; give both in px of the frame")
    return array


def check_number(value: object, name: str, use: str = "a finite number") -> float:
    """A finite number as a float, or InputError, which says to ``use`` something else."""
    number = math.nan
    if not isinstance(value, (str, bytes)):
        with suppress(TypeError, ValueError, OverflowError):
            number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        shown = repr(value)
        raise InputError(f"{name} is {shown if len(shown) < 40 else type(value).__name__}; use {use}")
    return number


def check_exclude(exclude: object, labels: Sequence[str]) -> tuple[str, ...]:
    """Names of ``labels``, each once, of which one at least is left over, or InputError."""
    if isinstance(exclude, (str, bytes)) or not isinstance(exclude, Iterable):
        raise InputError(f"exclude is {exclude!r}; use a tuple of labels, such as ('contempt',)")
    names = tuple(dict.fromkeys(exclude))
    for name in names:
        if name not in labels:
            raise InputError(f"exclude has {name!r}, not a label of this model; it has {', '.join(labels)}")
    if len(names) == len(labels):
        raise InputError("exclude leaves no expression; leave out fewer")
    return names


def check_threads(threads: object) -> int | None:
    """None, or a whole number from 1 to MOST_THREADS, or InputError."""
    if threads is None:
        return None
    try:
        number = operator.index(threads)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if not 1 <= number <= MOST_THREADS:
        shown = f"{threads!r}"[:40]
        raise InputError(
            f"threads is {shown}; use a whole number from 1 to {MOST_THREADS}, or None for all cores but one"
        )
    return number


def _floats(values: ArrayLike, what: str) -> NDArray[np.float32]:
    try:
        array = np.asarray(values, dtype=np.float64)  # in which large numbers do not overflow
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} must be numbers in one regular array: {error}") from error
    if not np.isfinite(array).all():
        raise InputError(f"{what} hold values that are not finite; drop those detections first")
    if (np.abs(array) > FARTHEST).any():
        raise InputError(f"{what} reach more than {FARTHEST:g} px away from the frame; give them in px of the frame")
    return array.astype(np.float32)
