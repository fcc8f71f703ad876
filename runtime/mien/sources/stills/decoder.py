"""OpenCV's picture decoder with its messages on stderr, and the conversion of any pixels to 8-bit BGR."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast

import cv2
import numpy as np

from mien.sources.stills.layout import Layout, Unreadable
from mien.sources.stills.tags import turn
from mien.types import Image

_STDERR = 2
WARNINGS = 3
"""A level of OpenCV's log."""
_alone = threading.Lock()
SIGNS = ("jpeg", "jfif", "adobe", "libpng", "tiff", "[ warn:", "[error:", "inconsistent progression")
"""Lines of the decoders contain one of these; others are passed on."""


def decode(data: bytes, *, plain: bool = False, logged: bool = False) -> tuple[np.ndarray | None, str]:
    """Pixels as they are stored (as BGR for a ``plain`` picture), and the messages of the decoders. ``logged``: include
    OpenCV's log."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION if plain else cv2.IMREAD_UNCHANGED
    with _words(logged) as words:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    return image, "".join(words)


def to_bgr(image: np.ndarray, layout: Layout) -> Image:
    """Pixels as they are stored -> 8-bit BGR (H, W, 3), upright, with transparent parts in white."""
    image = eight_bits(image, layout)
    if image.shape[2] == 4:
        image = over_white(image, layout.alpha)
    if layout.crop:
        left, upper, width, height = layout.crop
        image = image[upper : upper + height, left : left + width]
    return np.ascontiguousarray(turn(image, layout.orientation), dtype=np.uint8)


def eight_bits(image: np.ndarray, layout: Layout) -> np.ndarray:
    """Pixels as they are stored -> 8-bit BGR or BGRA (H, W, C)."""
    top = {"uint8": 255, "uint16": 65535}.get(image.dtype.name)
    if top is None:
        raise Unreadable(f"holds {image.dtype} values; save it with 8 or 16 bits per channel")
    if layout.clear is not None and image.ndim == 2:
        image = np.where(image == layout.clear, top, image).astype(image.dtype)
    white = layout.white or top
    if image.dtype != np.uint8 or white != 255:
        image = cv2.convertScaleAbs(image, alpha=255 / white)
    if layout.inverted:
        image = 255 - image
    channels = image.shape[2] if image.ndim == 3 else 1
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if channels == 2:
        return image[..., [0, 0, 0, 1]]
    if channels not in (3, 4):
        raise Unreadable(f"has {channels} channels; save it with 3")
    return image


def over_white(image: np.ndarray, alpha: str = "straight") -> np.ndarray:
    """BGRA (H, W, 4) -> BGR over white. ``alpha``: straight, multiplied (colors are premultiplied) or none."""
    if alpha == "none":
        return image[..., :3]
    cover = cv2.cvtColor(np.ascontiguousarray(image[..., 3]), cv2.COLOR_GRAY2BGR)
    if alpha == "multiplied":
        return cv2.add(np.ascontiguousarray(image[..., :3]), 255 - cover)
    return 255 - cv2.multiply(255 - image[..., :3], cover, scale=1 / 255)


@contextmanager
def _words(logged: bool) -> Iterator[list[str]]:
    """Collects what is written to file descriptor 2 within the context. libjpeg reports damage only there, and returns
    a picture anyway. Lines of other threads are passed on afterwards."""
    words: list[str] = []
    log: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, 5
    with _alone, _scratch() as file:
        level, stderr = log.getLogLevel(), -1
        with suppress(OSError):  # it may be closed
            stderr = os.dup(_STDERR)
        if file.fileno() != _STDERR:  # if stderr is closed, the next opened file gets its descriptor
            os.dup2(file.fileno(), _STDERR)
        try:
            if logged:
                log.setLogLevel(max(level, WARNINGS))
            yield words
        finally:
            log.setLogLevel(level)
            if stderr >= 0:
                os.dup2(stderr, _STDERR)
                os.close(stderr)
            elif file.fileno() != _STDERR:
                os.close(_STDERR)
        file.seek(0)
        words += file.read().decode("utf-8", "replace").splitlines(keepends=True)
    others = [line for line in words if not any(sign in line.lower() for sign in SIGNS)]
    if others and stderr >= 0:
        with suppress(OSError):
            os.write(_STDERR, "".join(others).encode())


def _scratch() -> BinaryIO:
    """A file in memory or, if the system does not support that, a temporary file."""
    if hasattr(os, "memfd_create"):
        with suppress(OSError):
            return open(os.memfd_create("mien"), "w+b")
    return cast(BinaryIO, tempfile.TemporaryFile())


def _after_fork() -> None:
    """Replace the lock: another thread may have held it, which does not exist in the child to release it."""
    global _alone
    _alone = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
