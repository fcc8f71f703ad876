"""Checks of what callers pass in: boxes, landmarks, numbers, threads."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import InputError
from mien.types import Floats

FARTHEST_PX = 1e6
"""Largest coordinate of a box or landmark that makes sense; far beyond it, float32 cannot resolve single px."""
MAX_THREADS = 256
"""More threads gain nothing and take seconds to start."""


def check_boxes(boxes: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Boxes as (N, 4) float32. InputError unless each overlaps the picture."""
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
    """Landmarks as (N, 5, 2) float32. InputError unless they belong to ``boxes`` (N, 4)."""
    array = _floats(landmarks, "landmarks")
    if array.shape != (len(boxes), 5, 2):
        raise InputError(
            f"landmarks have shape {array.shape}, expected ({len(boxes)}, 5, 2): five points per box, in px"
        )
    for i, (points, box) in enumerate(zip(array, boxes, strict=True)):
        if np.ptp(points, axis=0).max() < 1:
            raise InputError(f"the landmarks of box {i} are all at one point; leave landmarks out if there are none")
        middle = points.mean(axis=0)
        if (middle < box[:2]).any() or (middle > box[2:]).any():
            raise InputError(f"the landmarks of box {i} lie outside of it; give both in px of the frame")
    return array


def check_number(value: object, name: str, use: str = "a finite number") -> float:
    """``value`` as a float. InputError unless it is a finite number; ``use`` describes what is allowed."""
    number = math.nan
    if not isinstance(value, (str, bytes)):
        with suppress(TypeError, ValueError, OverflowError):
            number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        shown = repr(value)
        raise InputError(f"{name} is {shown if len(shown) < 40 else type(value).__name__}; use {use}")
    return number


def check_range(value: object, name: str, allowed: bool, use: str) -> None:
    """InputError unless ``allowed``; ``use`` describes what is."""
    if not allowed:
        raise InputError(f"{name} is {value!r}; use {use}")


def check_exclude(exclude: object, labels: Sequence[str]) -> tuple[str, ...]:
    """``exclude`` as a tuple without repetitions. InputError unless all are in ``labels`` and at least one remains."""
    if isinstance(exclude, (str, bytes)) or not isinstance(exclude, Iterable):
        raise InputError(f"exclude is {exclude!r}; use a tuple of labels, such as ('contempt',)")
    names = tuple(dict.fromkeys(exclude))
    for name in names:
        if name not in labels:
            raise InputError(f"exclude has {name!r}, not a label of this model; it has {', '.join(labels)}")
    if len(names) == len(labels):
        raise InputError("exclude leaves no expression; exclude fewer")
    return names


def check_threads(threads: object) -> int | None:
    """``threads`` as an int, or None for the default. InputError unless it is a whole number from 1 to MAX_THREADS."""
    if threads is None:
        return None
    try:
        number = operator.index(threads)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if not 1 <= number <= MAX_THREADS:
        shown = f"{threads!r}"[:40]
        raise InputError(
            f"threads is {shown}; use a whole number from 1 to {MAX_THREADS}, or None for all cores but one"
        )
    return number


def _floats(values: ArrayLike, what: str) -> NDArray[np.float32]:
    try:
        array = np.asarray(values, dtype=np.float64)  # large numbers would overflow float32
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} must be numbers in one regular array: {error}") from error
    if not np.isfinite(array).all():
        raise InputError(f"{what} hold values that are not finite; drop those detections first")
    if (np.abs(array) > FARTHEST_PX).any():
        raise InputError(f"{what} reach more than {FARTHEST_PX:g} px away from the frame; give them in px of the frame")
    return array.astype(np.float32)
