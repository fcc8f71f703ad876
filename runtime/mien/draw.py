"""Faces on a picture: box, label with confidence, and a dial of valence and arousal."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces import Affect, Expression, Face, Floats, Image

Colour = tuple[int, int, int]
Mask = NDArray[np.uint8]
Rect = tuple[int, int, int, int]
"""x1 y1 x2 y2, whole px."""

# After Okabe & Ito (2008), whose colours people with any colour vision tell apart; BGR.
COLOURS: dict[str, Colour] = {
    "neutral": (226, 226, 226),
    "happiness": (66, 228, 240),
    "sadness": (240, 190, 96),
    "surprise": (20, 165, 240),
    "fear": (190, 140, 225),
    "disgust": (130, 185, 30),
    "anger": (50, 95, 235),
    "contempt": (205, 125, 40),
}
OTHER: Colour = (226, 226, 226)
INK: Colour = (26, 22, 20)
WHITE: Colour = (255, 255, 255)

SMALLEST_LETTERS = 5
SMALLEST_DIAL = 11
"""Height of capitals and radius, in px, below which label and dial are left out."""


def draw_faces(image: Image, faces: Sequence[Face]) -> Image:
    """uint8 BGR (H, W, 3) and its faces -> a new picture of the same size with all of them drawn on it.

    Strokes and letters follow the size of the picture and of each face. Labels stay inside of the picture and, where
    there is room, off the faces; a dial without room is left out.
    """
    canvas: Image = np.array(image)
    height, width = image.shape[:2]
    short = min(height, width)
    boxes = [_rect(face.box) for face in faces]
    for face, box in zip(faces, boxes, strict=True):
        _draw_box(canvas, box, _colour(face.expression), short)
    taken: list[Rect] = []
    for face, box in zip(faces, boxes, strict=True):
        letters = float(np.clip(0.075 * _side(box), max(8, 0.011 * short), max(8, 0.026 * short)))
        label = _label(face.expression, letters, width)
        if label is not None:
            taken.append(_place(label, box, boxes, taken, (width, height), beside=False)[0])
            _blend(canvas, label, taken[-1])
    for face, box in zip(faces, boxes, strict=True):
        radius = round(float(np.clip(0.19 * _side(box), SMALLEST_DIAL, max(SMALLEST_DIAL, 0.07 * short))))
        dial = _dial(face.affect, _colour(face.expression), radius)
        rect, free = _place(dial, box, boxes, taken, (width, height), beside=True)
        if free:
            taken.append(rect)
            _blend(canvas, dial, rect)
    return canvas


def _draw_box(canvas: Image, box: Rect, colour: Colour, short: int) -> None:
    """A thin rounded frame with stronger corners, over a soft dark line that parts it from a bright picture."""
    x1, y1, x2, y2 = box
    thick = max(1, round(min(short / 260, _side(box) / 28)))
    margin = 2 * thick + 2
    part, left, top = _part(canvas, (x1 - margin, y1 - margin, x2 + margin, y2 + margin))
    if part.size == 0:
        return
    frame = np.array([x1 - left, y1 - top, x2 - left, y2 - top], dtype=np.float64)
    radius = 0.12 * _side(box)
    outline = np.concatenate(_corners(frame, radius, 0.0))
    corners = _corners(frame, radius, 0.10 * _side(box))

    def stroke(lines: Sequence[NDArray[np.float64]], width: int, closed: bool) -> Mask:
        mask = np.zeros(part.shape[:2], dtype=np.uint8)
        points = [np.round(line * 16).astype(np.int32) for line in lines]  # cv2's fixed point, 4 bits
        cv2.polylines(mask, points, closed, 255, width, cv2.LINE_AA, 4)
        return mask

    _tint(part, stroke(corners, thick + 2, False), INK, 0.55)
    _tint(part, stroke([outline], max(1, thick // 2), True), colour, 0.55)
    _tint(part, stroke(corners, thick, False), colour, 1.0)


def _corners(box: NDArray[np.float64], radius: float, leg: float) -> list[NDArray[np.float64]]:
    """Four arcs in order around the box, each with straight legs of ``leg`` px: (N, 2) points each."""
    x1, y1, x2, y2 = box
    turns = np.linspace(0, np.pi / 2, 12)
    arcs = []
    for i, (x, y) in enumerate([(x1, y1), (x2, y1), (x2, y2), (x1, y2)]):
        inward = np.array([1 if x == x1 else -1, 1 if y == y1 else -1])
        angles = np.pi + i * np.pi / 2 + turns
        arc = np.array([x, y]) + radius * (inward + np.column_stack([np.cos(angles), np.sin(angles)]))
        along = np.column_stack([-np.sin(angles), np.cos(angles)])
        arcs.append(np.vstack([arc[0] - leg * along[0], arc, arc[-1] + leg * along[-1]]))
    return arcs


def _label(expression: Expression, letters: float, room: int) -> Floats | None:
    """A pill with the class in bold and its confidence, capitals ``letters`` px high, at most ``room`` px wide."""
    name, share = expression.label, f"{100 * expression.confidence:.0f}%"
    fonts = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SIMPLEX)
    # Small ones are drawn larger and averaged down, which smooths better than cv2 does.
    fine = 4 if letters < 16 else 1
    unit = cv2.getTextSize("H", fonts[0], 1.0, 1)[0][1]
    wanted = letters * fine
    name_width = cv2.getTextSize(name, fonts[0], wanted / unit, 1)[0][0]
    share_width = cv2.getTextSize(share, fonts[1], wanted / unit, 1)[0][0]
    pad, gap = 0.75 * wanted, 0.5 * wanted
    total = name_width + gap + share_width + 2 * pad
    if total > room * fine:
        letters *= room * fine / total
        return _label(expression, letters * 0.98, room) if letters >= SMALLEST_LETTERS else None
    width, height = int(np.ceil(total / fine)) * fine, round(2.1 * letters) * fine
    colour = _colour(expression)
    ink = INK if _luminance(colour) > 0.3 else WHITE
    pill = np.zeros((height, width), dtype=np.uint8)
    radius = round(0.36 * height)
    cv2.rectangle(pill, (radius, 0), (width - 1 - radius, height - 1), 255, -1)
    cv2.rectangle(pill, (0, radius), (width - 1, height - 1 - radius), 255, -1)
    for x in (radius, width - 1 - radius):
        for y in (radius, height - 1 - radius):
            cv2.circle(pill, (x, y), radius, 255, -1, cv2.LINE_AA)
    text = np.zeros_like(pill)
    base = round((height + wanted) / 2)
    thick = max(1, round(wanted / 14)) if cv2.__version__ < "5" else 1  # cv2 4 draws letters as strokes
    cv2.putText(text, name, (round(pad), base), fonts[0], wanted / unit, 255, thick, cv2.LINE_AA)
    cv2.putText(text, share, (round(pad + name_width + gap), base), fonts[1], wanted / unit, 255, thick, cv2.LINE_AA)
    return _layers([(pill, colour, 0.95), (text, ink, 1.0)], fine)


def _dial(affect: Affect, colour: Colour, radius: int) -> Floats:
    """Russell's circumplex: pleasant to the right, excited up; the ring is 1."""
    fine = 4 if radius < 40 else 1
    size = 2 * radius * fine
    middle, ring, line = size // 2, round(0.44 * size), max(1, round(0.012 * size))
    dot = (
        round(middle + 0.8 * ring * float(np.clip(affect.valence, -1, 1))),
        round(middle - 0.8 * ring * float(np.clip(affect.arousal, -1, 1))),
    )
    disc, axes, rim, ray, edge, core = (np.zeros((size, size), dtype=np.uint8) for _ in range(6))
    cv2.circle(disc, (middle, middle), middle - 1, 255, -1, cv2.LINE_AA)
    cv2.circle(rim, (middle, middle), ring, 255, 2 * line, cv2.LINE_AA)
    cv2.line(axes, (middle - ring, middle), (middle + ring, middle), 255, line, cv2.LINE_AA)
    cv2.line(axes, (middle, middle - ring), (middle, middle + ring), 255, line, cv2.LINE_AA)
    cv2.line(ray, (middle, middle), dot, 255, 3 * line, cv2.LINE_AA)
    cv2.circle(edge, dot, round(0.105 * size), 255, -1, cv2.LINE_AA)
    cv2.circle(core, dot, round(0.08 * size), 255, -1, cv2.LINE_AA)
    return _layers(
        [
            (disc, INK, 0.62),
            (axes, WHITE, 0.45),
            (rim, WHITE, 0.85),
            (ray, colour, 0.9),
            (edge, WHITE, 1.0),
            (core, colour, 1.0),
        ],
        fine,
    )


def _layers(layers: Sequence[tuple[Mask, Colour, float]], fine: int) -> Floats:
    """Lay (mask, colour, opacity) on each other and shrink by ``fine``: (H, W, 4), colour times alpha, and alpha."""
    height, width = layers[0][0].shape
    result = np.zeros((height, width, 4), dtype=np.float32)
    for mask, colour, opacity in layers:
        alpha = mask[..., None] * np.float32(opacity / 255)
        result *= 1 - alpha
        result += alpha * np.array([*colour, 1], dtype=np.float32)
    small = cv2.resize(result, (width // fine, height // fine), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)


def _place(
    sprite: Floats, box: Rect, boxes: Sequence[Rect], taken: Sequence[Rect], room: tuple[int, int], *, beside: bool
) -> tuple[Rect, bool]:
    """Where a sprite fits best around its box, inside of the picture, and whether it covers nothing there."""
    x1, y1, x2, y2 = box
    height, width = sprite.shape[:2]
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
    return best, least == 0 and best[2] <= room[0] and best[3] <= room[1]


def _blend(canvas: Image, sprite: Floats, rect: Rect) -> None:
    part, left, top = _part(canvas, rect)
    cut = sprite[top - rect[1] :, left - rect[0] :][: part.shape[0], : part.shape[1]]
    part[:] = np.round(part * (1 - cut[..., 3:]) + cut[..., :3])


def _tint(part: Image, mask: Mask, colour: Colour, opacity: float) -> None:
    """Lay a colour on the few pixels that the mask holds, in place."""
    rows, columns = np.nonzero(mask)
    alpha = mask[rows, columns, None] * (opacity / 255)
    part[rows, columns] = np.round(part[rows, columns] * (1 - alpha) + np.array(colour) * alpha)


def _part(canvas: Image, rect: Rect) -> tuple[Image, int, int]:
    """The part of the picture inside of a rectangle, as a view, with its left and top."""
    left, top = max(0, rect[0]), max(0, rect[1])
    return canvas[top : max(top, rect[3]), left : max(left, rect[2])], left, top


def _overlap(a: Rect, b: Rect) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _rect(box: Floats) -> Rect:
    x1, y1, x2, y2 = np.round(np.asarray(box, dtype=np.float64)).astype(int).tolist()
    return x1, y1, x2, y2


def _side(box: Rect) -> float:
    return max(1.0, min(box[2] - box[0], box[3] - box[1]))


def _colour(expression: Expression) -> Colour:
    return COLOURS.get(expression.label, OTHER)


def _luminance(colour: Colour) -> float:
    """Relative luminance of a BGR colour, gamma taken as 2."""
    blue, green, red = (value / 255 for value in colour)
    return 0.0722 * blue**2 + 0.7152 * green**2 + 0.2126 * red**2
