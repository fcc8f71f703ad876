"""Label and dial of a face as small pictures with an alpha channel, and the colours of all that is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces import Affect, Face, Floats, Image

Colour = tuple[int, int, int]
Mask = NDArray[np.uint8]

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
OTHER: Colour = (160, 160, 160)
"""For other classes, and for a face whose expression is uncertain."""
LINES: tuple[Colour, ...] = (
    (178, 114, 0),
    (0, 94, 213),
    (115, 158, 0),
    (167, 121, 204),
    (0, 159, 230),
    (233, 180, 86),
    (90, 90, 90),
    (20, 150, 175),
)
"""For lines and bars on white: their palette, with a grey for its black and a darker yellow; BGR."""
INK: Colour = (26, 22, 20)
WHITE: Colour = (255, 255, 255)

SMALLEST_LETTERS = 5
SMALLEST_DIAL = 11
"""Height of capitals and radius, in px, below which label and dial are left out."""


class Sprite(NamedTuple):
    """A small picture to lay on another: ``colours`` BGR (H, W, 3), ``cover`` (H, W) in [0, 1], ``rest`` 1 - cover."""

    colours: Image
    cover: Floats
    rest: Floats


def colour_of(face: Face) -> Colour:
    return COLOURS.get(face.expression.label, OTHER)


def label_sprite(face: Face, letters: float, room: int) -> Sprite | None:
    """A pill with the track, the class in bold and its confidence, capitals ``letters`` px high.

    At most ``room`` px wide; None where that would be too small to read. Not to be changed: it is kept and given again.
    """
    track = "" if face.track_id is None else f"#{face.track_id}"
    share = f"{100 * face.expression.confidence:.0f}%"
    return _label((track, face.expression.label, share), colour_of(face), round(letters * 2) / 2, room)


@lru_cache(maxsize=256)
def _label(words: tuple[str, str, str], colour: Colour, letters: float, room: int) -> Sprite | None:
    bold, plain = cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SIMPLEX
    # Small ones are drawn larger and averaged down, which smooths better than cv2 does.
    fine = 4 if letters < 16 else 1
    unit = cv2.getTextSize("H", bold, 1.0, 1)[0][1]
    wanted = letters * fine
    set_in = [(word, font) for word, font in zip(words, (plain, bold, plain), strict=True) if word]
    widths = [cv2.getTextSize(word, font, wanted / unit, 1)[0][0] for word, font in set_in]
    pad, gap = 0.75 * wanted, 0.5 * wanted
    total = sum(widths) + gap * (len(widths) - 1) + 2 * pad
    if total > room * fine:
        letters *= room * fine / total
        return _label(words, colour, letters * 0.98, room) if letters >= SMALLEST_LETTERS else None
    width, height = int(np.ceil(total / fine)) * fine, round(2.1 * letters) * fine
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
    left = pad
    for (word, font), wide in zip(set_in, widths, strict=True):
        cv2.putText(text, word, (round(left), base), font, wanted / unit, 255, thick, cv2.LINE_AA)
        left += wide + gap
    ink = INK if _luminance(colour) > 0.3 else WHITE
    return _layers([(pill, colour, 0.95), (text, ink, 1.0)], fine)


@lru_cache(maxsize=16)
def dial_sprite(radius: int) -> Sprite:
    """Russell's circumplex without its needle: pleasant to the right, excited up; the ring is 1."""
    fine = 4 if radius < 40 else 1
    size = 2 * radius * fine
    middle, ring, line = size // 2, round(0.44 * size), max(1, round(0.012 * size))
    disc, axes, rim = (np.zeros((size, size), dtype=np.uint8) for _ in range(3))
    cv2.circle(disc, (middle, middle), middle - 1, 255, -1, cv2.LINE_AA)
    cv2.circle(rim, (middle, middle), ring, 255, 2 * line, cv2.LINE_AA)
    cv2.line(axes, (middle - ring, middle), (middle + ring, middle), 255, line, cv2.LINE_AA)
    cv2.line(axes, (middle, middle - ring), (middle, middle + ring), 255, line, cv2.LINE_AA)
    return _layers([(disc, INK, 0.62), (axes, WHITE, 0.45), (rim, WHITE, 0.85)], fine)


def draw_needle(canvas: Image, corner: tuple[int, int], affect: Affect, colour: Colour, radius: int) -> None:
    """Lay valence and arousal on the picture, where ``dial_sprite`` of this radius has its upper left ``corner``."""
    middle = np.array(corner) + radius - 0.5
    reach = 0.8 * 0.88 * radius * np.clip([affect.valence, -affect.arousal], -1, 1)
    start, end = (tuple(round(16 * value) for value in point) for point in (middle.tolist(), (middle + reach).tolist()))
    thick = max(1, round(0.072 * radius))
    cv2.line(canvas, start, end, colour, thick, cv2.LINE_AA, 4)
    cv2.circle(canvas, end, round(16 * 0.21 * radius), WHITE, -1, cv2.LINE_AA, 4)
    cv2.circle(canvas, end, round(16 * 0.16 * radius), colour, -1, cv2.LINE_AA, 4)


def _layers(layers: Sequence[tuple[Mask, Colour, float]], fine: int) -> Sprite:
    """Shrink (mask, colour, opacity) by ``fine`` and lay them on each other."""
    height, width = (side // fine for side in layers[0][0].shape)
    result = np.zeros((height, width, 4), dtype=np.float32)
    for mask, colour, opacity in layers:
        small = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) if fine > 1 else mask
        alpha = small[..., None] * np.float32(opacity / 255)
        result *= 1 - alpha
        result += alpha * np.array([*colour, 1], dtype=np.float32)
    cover = np.ascontiguousarray(result[..., 3])
    colours = np.round(result[..., :3] / np.maximum(cover, 1e-6)[..., None]).astype(np.uint8)
    return Sprite(colours, cover, 1 - cover)


def _luminance(colour: Colour) -> float:
    """Relative luminance of a BGR colour, gamma taken as 2."""
    blue, green, red = (value / 255 for value in colour)
    return 0.0722 * blue**2 + 0.7152 * green**2 + 0.2126 * red**2
