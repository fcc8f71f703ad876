"""Whether a decoder really wrote the picture that it claims to have read.

OpenCV 4.13 to 5.0 report success for frames that are flagged as interlaced, but leave FFmpeg's picture buffer as it
was: with an earlier frame, or whatever was in that memory before. This module detects such pictures, whatever their
cause. OpenCV copies from its own buffer, which no caller can fill. But the buffer is allocated with the first frame,
and glibc can fill new memory with a given byte: a picture that consists only of this byte was not written.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

FILLS = 0xAC, 0x4D
"""Bytes for new memory. A real picture may consist of one of them only, but not of each of the two in turn."""
COMPARED_ROWS = 16
"""Number of rows that are compared to decide whether two pictures are equal."""
TRUSTED_REPEATS = 5
"""A new standstill of so many frames is accepted without a check."""
FRAMES_BETWEEN_CHECKS = 250
"""Interval of checks while a picture stands still."""
M_PERTURB = -6

_filling = threading.Lock()
if hasattr(os, "register_at_fork"):  # so that a child inherits neither a locked lock nor filled memory
    os.register_at_fork(before=_filling.acquire, after_in_parent=_filling.release, after_in_child=_filling.release)


@contextmanager
def filled_memory(fill: int) -> Iterator[None]:
    """Within the context, new memory of the process is filled with ``fill``, if ``can_fill``. Keep it short."""
    if not can_fill():
        yield
        return
    with _filling:
        _perturb(fill)
        try:
            yield
        finally:
            _perturb(None)


@cache
def can_fill() -> bool:
    """Whether this process's allocator can fill new memory: glibc's can, unless another one was preloaded."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # musl
        return False
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    size = 1 << 16
    with _filling:
        _perturb(FILLS[0])
        place = libc.malloc(size)
        _perturb(None)
    # The first bytes may belong to the allocator.
    seen = ctypes.string_at(place, size)[64:-64] if place else b""
    libc.free(place)
    return bool(seen) and set(seen) == {FILLS[0]}


def is_filled(image: np.ndarray, fill: int) -> bool:
    """Whether every value is ``fill``. It costs almost nothing if that is not so."""
    return bool((image[:: max(1, len(image) // COMPARED_ROWS)] == fill).all()) and bool((image == fill).all())


class Standstill:
    """Counts identical frames. Frames that were not written are identical: their buffer keeps the frame before.

    Real videos stand still too, and a closer check is expensive. So ``update`` asks for one at the first repetition; if
    that was real, only when a later one lasts longer than ``TRUSTED_REPEATS``, and again while it lasts. For a ``live``
    source the check needs another connection, so it is made only after ``FRAMES_BETWEEN_CHECKS`` frames.

    ``run``: how often the newest frame was repeated. ``repeated``: number of frames that were repetitions.
    """

    def __init__(self, live: bool = False) -> None:
        self._live = live
        self._rows: np.ndarray | None = None
        self._trusted = FRAMES_BETWEEN_CHECKS if live else 0
        self.run = self.repeated = 0
        self._looked = False

    @property
    def doubtful(self) -> bool:
        """Whether the newest frame is a repetition that has not been checked yet."""
        return self.run > 0 and not self._looked

    def update(self, image: np.ndarray) -> bool:
        """Add the next frame. Returns whether it should be checked."""
        rows = image[:: max(1, len(image) // COMPARED_ROWS)]
        if self._rows is not None and np.array_equal(rows, self._rows):
            self.run += 1
            self.repeated += 1
        else:
            self._rows, self.run, self._looked = rows.copy(), 0, False
            self._trusted = min(self._trusted, FRAMES_BETWEEN_CHECKS if self._live else TRUSTED_REPEATS)
        return self.run > self._trusted

    def trust(self) -> None:
        """Record that the current standstill is real."""
        self._trusted = 4 * self.run if self._live else min(4 * self.run, self.run + FRAMES_BETWEEN_CHECKS)
        self._looked = True


def _perturb(fill: int | None) -> None:
    own = os.environ.get("MALLOC_PERTURB_", "0")  # the user's setting for the whole process
    usual = int(own) & 0xFF if own.isdigit() else 0
    ctypes.CDLL(None).mallopt(M_PERTURB, usual if fill is None else fill ^ 0xFF)
