"""What a file says about its picture; the modules of the formats fill this in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CUT_OFF = "is cut off: the end of the picture is missing; copy or download it again"


class Unreadable(Exception):
    """Why a picture cannot be read, and what to do. The message follows the name of the file."""


def damaged(what: str) -> Unreadable:
    return Unreadable(f"is damaged: {what}; copy or download it again")


def unknown(what: str) -> Unreadable:
    return Unreadable(f"{what}, which is not supported; convert it to an 8-bit JPEG or PNG")


@dataclass(frozen=True)
class Cell:
    """One frame of an animation: a separate picture that is drawn onto the canvas.

    ``data``: a file for the decoder. ``left``, ``top``: in px. ``seconds``: how long it is shown. ``over``: whether it
    is blended with the canvas, or replaces it. ``after``: what happens to its area afterwards.
    """

    data: bytes
    left: int
    top: int
    size: tuple[int, int]
    seconds: float
    over: bool
    after: Literal["keep", "clear", "restore"]


@dataclass(frozen=True)
class Layout:
    """What a file says about its picture.

    ``data``: the file, in a form that the decoder reads correctly. ``ended``: whether the file had its own end, or one
    was added. ``size``: width and height, before turning. ``plain``: whether it has 8 bits and no alpha. ``white``: the
    value of white, if it is not the largest of the type. ``inverted``: whether 0 is white. ``clear``: a transparent
    gray value. ``alpha``: whether a fourth channel is alpha, and whether colors are multiplied by it. ``crop``: left,
    top, width, height. ``orientation``: applied afterwards, as in EXIF. ``pages``: number of pictures, of which the
    first is read. ``cells``: the frames of an animation.
    """

    data: bytes
    size: tuple[int, int] = (0, 0)
    ended: bool = True
    plain: bool = False
    white: int = 0
    inverted: bool = False
    clear: int | None = None
    alpha: Literal["straight", "multiplied", "none"] = "straight"
    crop: tuple[int, int, int, int] | None = None
    orientation: int = 1
    pages: int = 1
    cells: Sequence[Cell] = ()
