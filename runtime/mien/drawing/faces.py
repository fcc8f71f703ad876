"""Draws faces on a picture: box, label with confidence, and a dial of valence and arousal; or blurs them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.drawing.sprites import COLORS as COLORS
from mien.drawing.sprites import LINES as LINES
from mien.drawing.sprites import (
    MIN_DIAL_PX,
    Sprite,
    color_of,
    corner_sprites,
    dial_sprite,
    draw_needle,
    label_sprite,
)
from mien.drawing.sprites import OTHER as OTHER
from mien.drawing.sprites import WHITE as WHITE
from mien.drawing.sprites import Color as Color
from mien.types import Face, Floats, Image

Rect = tuple[int, int, int, int]
"""x1 y1 x2 y2, whole px."""

BLUR_REACH = (1.5, 1.65)
"""Half axes of the blurred area, relative to those of the box: ears, hair and chin lie outside of a face's box."""
BLUR_CELLS = 8
"""Colors that remain along the longer side of a blurred face, including the margin."""


def draw_faces(image: Image, faces: Sequence[Face]) -> Image:
    """uint8 BGR (H, W, 3) and its faces -> a new picture of the same size with all of them drawn on it.

    A face of a stream shows its track id. Lines and letters scale with the size of the picture and of each face. Labels
    stay inside the picture and, if there is room, do not cover faces. The dial is left out if there is no room for it,
    or no valence and arousal.
    """
    canvas: Image = np.array(image)
    height, width = image.shape[:2]
    short = min(height, width)
    boxes = [_rect(face.box) for face in faces]
    for face, box in zip(faces, boxes, strict=True):
        _draw_box(canvas, box, color_of(face), short)
    taken: list[Rect] = []
    for face, box in zip(faces, boxes, strict=True):
        letters = float(np.clip(0.075 * _side(box), max(8, 0.011 * short), max(8, 0.026 * short)))
        label = label_sprite(face, letters, width)
        if label is not None:
            taken.append(_place(label, box, boxes, taken, (width, height), beside=False)[0])
            _blend(canvas, label, taken[-1])
    for face, box in zip(faces, boxes, strict=True):
        radius = round(float(np.clip(0.19 * _side(box), MIN_DIAL_PX, max(MIN_DIAL_PX, 0.07 * short))))
        if face.affect is None:
            continue
        dial = dial_sprite(radius)
        rect, free = _place(dial, box, boxes, taken, (width, height), beside=True)
        if free:
            taken.append(rect)
            _blend(canvas, dial, rect)
            draw_needle(canvas, rect[:2], face.affect, color_of(face), radius)
    return canvas


def blur_faces(image: Image, faces: Sequence[Face]) -> Image:
    """uint8 BGR (H, W, 3) and its faces -> a new picture of the same size in which nobody can be recognized.

    Each box, with a margin for hair, ears and chin and a soft edge, is reduced to at most BLUR_CELLS x BLUR_CELLS
    colors, from which the face cannot be restored. If the box lags behind a moving face, ``face.raw`` is covered too.
    Only the given faces are covered: a face that the detector misses stays visible, so pass the hidden faces of a
    stream as well. Clothes, posture and surroundings are not hidden.
    """
    canvas: Image = np.array(image)
    for face in faces:
        box = np.asarray(face.box, dtype=np.float64)
        if face.raw is not None:
            raw = np.asarray(face.raw.box, dtype=np.float64)
            box = np.concatenate([np.minimum(box[:2], raw[:2]), np.maximum(box[2:], raw[2:])])
        _blur(canvas, box)
    return canvas


def _blur(canvas: Image, box: NDArray[np.float64]) -> None:
    middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 1)
    reach = half * BLUR_REACH
    corner = np.concatenate([np.floor(middle - 1.2 * reach), np.ceil(middle + 1.2 * reach)])
    part, left, top = _part(canvas, _rect(corner))
    if part.size == 0:
        return
    height, width = part.shape[:2]
    cell = float(max(corner[2:] - corner[:2])) / BLUR_CELLS  # of the whole face, even if the border cuts it
    cells = max(1, round(width / cell)), max(1, round(height / cell))
    coarse = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    x = np.abs((np.arange(width) + 0.5 + left - middle[0]) / reach[0]).astype(np.float32)
    y = np.abs((np.arange(height) + 0.5 + top - middle[1]) / reach[1]).astype(np.float32)
    # A superellipse is rounder than the box and contains all of it.
    far = (x**3)[None] + (y**3)[:, None]
    cover = np.clip((1.64 - far) / 0.64, 0, 1).astype(np.float32)
    part[:] = cv2.blendLinear(smooth, part, cover, 1 - cover)


def _draw_box(canvas: Image, box: Rect, color: Color, short: int) -> None:
    """A thin frame with thick round corners, which a dark line separates from a bright picture."""
    x1, y1, x2, y2 = box
    side = _side(box)
    thick = max(1, round(min(short / 260, side / 28)))
    reach, margin = round(0.22 * side), thick + 2
    for sprite, x, y in zip(corner_sprites(reach, thick, color), (x1, x2, x2, x1), (y1, y1, y2, y2), strict=True):
        # Each corner lies inside the box except for the margin.
        left, top = (x - margin if x == x1 else x - reach), (y - margin if y == y1 else y - reach)
        size = reach + margin + 1
        _blend(canvas, sprite, (left, top, left + size, top + size))
    for start, end in (
        ((x1 + reach, y1), (x2 - reach, y1)),
        ((x1 + reach, y2), (x2 - reach, y2)),
        ((x1, y1 + reach), (x1, y2 - reach)),
        ((x2, y1 + reach), (x2, y2 - reach)),
    ):
        cv2.line(canvas, start, end, _darker(color), max(1, thick // 2))


def _darker(color: Color) -> Color:
    blue, green, red = (round(0.6 * value) for value in color)
    return blue, green, red


def _place(
    sprite: Sprite, box: Rect, boxes: Sequence[Rect], taken: Sequence[Rect], room: tuple[int, int], *, beside: bool
) -> tuple[Rect, bool]:
    """The best place for a sprite around its box, inside the picture, and whether it covers nothing there."""
    x1, y1, x2, y2 = box
    height, width = sprite.colors.shape[:2]
    gap = max(3, min(room) // 100)
    left, right, above, below = x1 - gap - width, x2 + gap, y1 - gap - height, y2 + gap
    places = [(x1, above), (x2 - width, above), (x1, below), (x2 - width, below), (right, y1), (left, y1)]
    if beside:
        places = [(right, y1), (left, y1), (right, y2 - height), (left, y2 - height), (x2 - width, below), (x1, below)]
    best, least = (0, 0, width, height), float("inf")
    for x, y in places:
        x, y = max(0, min(x, room[0] - width)), max(0, min(y, room[1] - height))
        rect = (x, y, x + width, y + height)
        cost = sum(_overlap(rect, other) for other in boxes) + 4 * sum(_overlap(rect, other) for other in taken)
        if cost < least:
            best, least = rect, cost
        if not cost:
            break
    return best, least == 0 and best[2] <= room[0] and best[3] <= room[1]


def _blend(canvas: Image, sprite: Sprite, rect: Rect) -> None:
    part, left, top = _part(canvas, rect)
    if part.size:
        colors, cover, rest = (
            layer[top - rect[1] :, left - rect[0] :][: part.shape[0], : part.shape[1]] for layer in sprite
        )
        part[:] = cv2.blendLinear(colors, part, cover, rest)


def _part(canvas: Image, rect: Rect) -> tuple[Image, int, int]:
    """The part of the picture inside a rectangle, as a view, with its left and top."""
    left, top = max(0, rect[0]), max(0, rect[1])
    return canvas[top : max(top, rect[3]), left : max(left, rect[2])], left, top


def _overlap(a: Rect, b: Rect) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _rect(box: Floats) -> Rect:
    x1, y1, x2, y2 = np.round(np.asarray(box, dtype=np.float64)).astype(int).tolist()
    return x1, y1, x2, y2


def _side(box: Rect) -> float:
    return max(1.0, min(box[2] - box[0], box[3] - box[1]))
