"""The frames of an animated picture, each drawn over the ones before; any OpenCV that reads stills is sufficient."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from mien.sources.stills.decoder import decode, eight_bits, over_white
from mien.sources.stills.layout import Cell, Layout, damaged
from mien.sources.stills.tags import turn
from mien.types import Image


def compose(layout: Layout) -> Iterator[Image]:
    """The frames of ``layout.cells`` as 8-bit BGR (H, W, 3), upright, over white. Raises Unreadable for a broken
    one."""
    width, height = layout.size
    canvas = np.zeros((height, width, 4), np.uint8)
    for number, cell in enumerate(layout.cells, 1):
        right, bottom = cell.left + cell.size[0], cell.top + cell.size[1]
        patch = _patch(cell) if right <= width and bottom <= height else None
        if patch is None:
            raise damaged(f"frame {number} cannot be decoded")
        area = canvas[cell.top : bottom, cell.left : right]
        before = area.copy() if cell.after == "restore" else None
        area[:] = _mixed(patch, area) if cell.over else patch
        yield np.ascontiguousarray(turn(over_white(canvas), layout.orientation), dtype=np.uint8)
        if before is not None:
            area[:] = before
        elif cell.after == "clear":
            area[:] = 0


def _patch(cell: Cell) -> np.ndarray | None:
    """The pixels of a cell, BGRA; None if it cannot be decoded."""
    image, _ = decode(cell.data)
    if image is None or image.shape[:2] != cell.size[::-1]:
        return None
    image = eight_bits(image, Layout(cell.data))
    return image if image.shape[2] == 4 else cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)


def _mixed(patch: np.ndarray, below: np.ndarray) -> np.ndarray:
    """One picture blended over the other, both BGRA with straight alpha."""
    upper = patch[..., 3:].astype(np.float32) / 255
    lower = below[..., 3:].astype(np.float32) / 255 * (1 - upper)
    alpha = upper + lower
    colors = (patch[..., :3] * upper + below[..., :3] * lower) / np.maximum(alpha, 1e-6)
    mixed: np.ndarray = np.concatenate([colors, alpha * 255], axis=2).round().astype(np.uint8)
    return mixed
