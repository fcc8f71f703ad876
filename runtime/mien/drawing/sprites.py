"""Label and dial of a face as small pictures with an alpha channel, and the colors of everything that is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.paths import readable
from mien.types import Affect, Face, Floats, Image

Color = tuple[int, int, int]
Mask = NDArray[np.uint8]

# BGR, after Okabe & Ito (2008), whose colors can be distinguished with any kind of color vision.
COLORS: dict[str, Color] = {
    "neutral": (226, 226, 226),
    "happiness": (66, 228, 240),
    "sadness": (240, 190, 96),
    "surprise": (20, 165, 240),
    "fear": (190, 140, 225),
    "disgust": (130, 185, 30),
    "anger": (50, 95, 235),
    "contempt": (205, 125, 40),
}
OTHER: Color = (160, 160, 160)
"""For other classes, and for a face whose expression is uncertain."""
LINES: tuple[Color, ...] = (
    (178, 114, 0),
    (0, 94, 213),
    (115, 158, 0),
    (167, 121, 204),
    (0, 159, 230),
    (233, 180, 86),
    (90, 90, 90),
    (20, 150, 175),
)
"""For lines and bars on white, BGR: the same palette, with gray instead of black and a darker yellow."""
INK: Color = (26, 22, 20)
WHITE: Color = (255, 255, 255)

BOLD, PLAIN = cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SIMPLEX
MIN_LETTER_PX = 5
MIN_DIAL_PX = 11
"""Smallest height of capitals, and smallest radius; below it, label or dial are left out."""


class Sprite(NamedTuple):
    """A picture to blend into another: ``colors`` BGR (H, W, 3), ``cover`` (H, W) in [0, 1], ``rest`` 1 - cover."""

    colors: Image
    cover: Floats
    rest: Floats

    def flipped(self, axis: int) -> Sprite:
        """Flipped upside down (axis 0) or left to right (axis 1)."""
        colors, cover, rest = (np.ascontiguousarray(np.flip(layer, axis)) for layer in self)
        return Sprite(colors.astype(np.uint8), cover.astype(np.float32), rest.astype(np.float32))


def color_of(face: Face) -> Color:
    return COLORS.get(face.expression.label, OTHER)


def label_sprite(face: Face, letters: float, room: int) -> Sprite | None:
    """A label with the track id, the class in bold and its confidence, with capitals ``letters`` px high.

    It is at most ``room`` px wide; None if it would be too small to read.
    """
    left = (face.expression.label, BOLD)
    words = (left,) if face.track_id is None else ((f"#{face.track_id}", PLAIN), left)
    share = ((f"{100 * face.expression.confidence:.0f}%", PLAIN),)
    letters = round(letters * 2) / 2
    while letters >= MIN_LETTER_PX:
        # Two cached pieces: the first rarely changes from frame to frame, and the second has only a hundred variants.
        pieces = [_half_pill(part, color_of(face), letters, i == 0) for i, part in enumerate((words, share))]
        joined = Sprite(*(np.concatenate(layers, axis=1) for layers in zip(*pieces, strict=True)))
        if joined.colors.shape[1] <= room:
            return joined
        letters *= 0.98 * room / joined.colors.shape[1]
    return None


@lru_cache(maxsize=512)
def _half_pill(words: tuple[tuple[str, int], ...], color: Color, letters: float, first: bool) -> Sprite:
    """The left (``first``) or right half of a label, with words, each in its font. Do not change it: it is cached."""
    # Small ones are drawn larger and averaged down, which is smoother than OpenCV's own antialiasing.
    fine = 4 if letters < 16 else 1
    unit = cv2.getTextSize("H", BOLD, 1.0, 1)[0][1]
    wanted = letters * fine
    widths = [cv2.getTextSize(word, font, wanted / unit, 1)[0][0] for word, font in words]
    pad, gap = 0.75 * wanted, 0.5 * wanted
    total = sum(widths) + gap * (len(widths) - 0.5) + pad
    width, height = int(np.ceil(total / fine)) * fine, round(2.1 * letters) * fine
    radius = round(0.36 * height)
    whole = np.zeros((height, width + 2 * radius), dtype=np.uint8)
    right, bottom = whole.shape[1] - 1, height - 1
    cv2.rectangle(whole, (radius, 0), (right - radius, bottom), 255, -1)
    cv2.rectangle(whole, (0, radius), (right, bottom - radius), 255, -1)
    for x in (radius, right - radius):
        for y in (radius, bottom - radius):
            cv2.circle(whole, (x, y), radius, 255, -1, cv2.LINE_AA)
    pill = np.ascontiguousarray(whole[:, :width] if first else whole[:, -width:])
    text = np.zeros_like(pill)
    base = round((height + wanted) / 2)
    thick = max(1, round(wanted / 14)) if cv2.__version__ < "5" else 1  # cv2 4 draws letters as strokes
    place = pad if first else gap / 2
    for (word, font), wide in zip(words, widths, strict=True):
        cv2.putText(text, readable(word), (round(place), base), font, wanted / unit, 255, thick, cv2.LINE_AA)
        place += wide + gap
    ink = INK if _luminance(color) > 0.3 else WHITE
    return _layers([(pill, color, 0.95), (text, ink, 1.0)], fine)


@lru_cache(maxsize=16)
def dial_sprite(radius: int) -> Sprite:
    """Russell's circumplex without its needle: pleasant is right, excited is up, and the ring marks 1."""
    fine = 4 if radius < 40 else 1
    size = 2 * radius * fine
    middle, ring, line = size // 2, round(0.44 * size), max(1, round(0.012 * size))
    disc, axes, rim = (np.zeros((size, size), dtype=np.uint8) for _ in range(3))
    cv2.circle(disc, (middle, middle), middle - 1, 255, -1, cv2.LINE_AA)
    cv2.circle(rim, (middle, middle), ring, 255, 2 * line, cv2.LINE_AA)
    cv2.line(axes, (middle - ring, middle), (middle + ring, middle), 255, line, cv2.LINE_AA)
    cv2.line(axes, (middle, middle - ring), (middle, middle + ring), 255, line, cv2.LINE_AA)
    return _layers([(disc, INK, 0.62), (axes, WHITE, 0.45), (rim, WHITE, 0.85)], fine)


@lru_cache(maxsize=128)
def corner_sprites(reach: int, thick: int, color: Color) -> tuple[Sprite, Sprite, Sprite, Sprite]:
    """Round corners over a dark line: top left, top right, bottom right, bottom left.

    They extend ``reach`` px along the sides, and their vertices are ``thick`` + 2 px away from the sprite's border.
    """
    margin = thick + 2
    size, radius = reach + margin + 1, 0.55 * reach
    turns = np.linspace(np.pi, 1.5 * np.pi, 12)
    arc = margin + radius + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    line = np.vstack([(margin, size), arc, (size, margin)])
    dark, strong = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    for mask, width in ((dark, thick + 2), (strong, thick)):
        cv2.polylines(mask, [np.round(16 * line).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)
    first = _layers([(dark, INK, 0.55), (strong, color, 1.0)], 1)
    second = first.flipped(1)
    return first, second, second.flipped(0), first.flipped(0)


def draw_needle(canvas: Image, corner: tuple[int, int], affect: Affect, color: Color, radius: int) -> None:
    """Draw valence and arousal on the dial of this radius whose upper left corner is at ``corner``."""
    middle = np.array(corner) + radius - 0.5
    reach = 0.8 * 0.88 * radius * np.clip([affect.valence, -affect.arousal], -1, 1)
    start, end = (tuple(round(16 * value) for value in point) for point in (middle.tolist(), (middle + reach).tolist()))
    thick = max(1, round(0.072 * radius))
    cv2.line(canvas, start, end, color, thick, cv2.LINE_AA, 4)
    cv2.circle(canvas, end, round(16 * 0.21 * radius), WHITE, -1, cv2.LINE_AA, 4)
    cv2.circle(canvas, end, round(16 * 0.16 * radius), color, -1, cv2.LINE_AA, 4)


def _layers(layers: Sequence[tuple[Mask, Color, float]], fine: int) -> Sprite:
    """Shrink layers (mask, color, opacity) by ``fine`` and blend them."""
    height, width = (side // fine for side in layers[0][0].shape)
    result = np.zeros((height, width, 4), dtype=np.float32)
    for mask, color, opacity in layers:
        small = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) if fine > 1 else mask
        alpha = small[..., None] * np.float32(opacity / 255)
        result *= 1 - alpha
        result += alpha * np.array([*color, 1], dtype=np.float32)
    cover = np.ascontiguousarray(result[..., 3])
    colors = np.round(result[..., :3] / np.maximum(cover, 1e-6)[..., None]).astype(np.uint8)
    return Sprite(colors, cover, 1 - cover)


def _luminance(color: Color) -> float:
    """Relative luminance of a BGR color, for a gamma of 2."""
    blue, green, red = (value / 255 for value in color)
    return 0.0722 * blue**2 + 0.7152 * green**2 + 0.2126 * red**2
