"""What a file says of its picture, as the modules of the formats read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CUT_OFF = "is cut off: the end of the picture is missing; copy or download it again"


class Unreadable(Exception):
    """Why a picture is not read, and what to do; the name of the file goes before it."""


def damaged(what: str) -> Unreadable:
    return Unreadable(f"is damaged: {what}; copy or download it again")


def unknown(what: str) -> Unreadable:
    return Unreadable(f"{what}, which is not read here; convert it to an 8-bit JPEG or PNG")


@dataclass(frozen=True)
class Cell:
    """One frame of an animation: a picture of its own, laid onto the canvas.

    ``data``: a file for the decoder. ``left``, ``top``: px. ``seconds``: how long it is shown. ``over``: whether its
    alpha is mixed with what lies there, or takes its place. ``after``: what becomes of its area then.
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
    """``data``: the file, in words that the decoder gets right. ``ended``: whether its end is its own, and was not put
    there. ``size``: width, height, before it is turned.

    ``plain``: whether there are 8 bits without alpha. ``white``: the value of white, where that is not the largest of
    its type; ``inverted``: it is 0. ``clear``: a value of gray that is transparent. ``alpha``: whether a fourth channel
    is alpha, and whether colors were multiplied by it. ``crop``: left, top, width, height. Then ``orientation``,
    as EXIF counts. ``pages``: pictures in the file, of which the first is read. ``cells``: its frames.
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
