"""Tags of TIFF and EXIF, and the orientation in them or in XMP."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

ORIENTATION, SUB_IFDS = 0x0112, 0x014A
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
MOST = 1 << 20
"""Maximum number of values of a tag: a picture has at most one strip per row."""

XMP = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\b""")


@dataclass(frozen=True)
class Tag:
    """A tag. ``values``: empty if the file ends before them. ``place``: their position."""

    values: tuple[int, ...]
    place: int


@dataclass(frozen=True)
class Directory:
    """A directory of tags. ``order``: byte order as in ``struct``. ``tags``: those with integer values, by number."""

    order: str
    tags: dict[int, Tag]

    def get(self, number: int, default: int = 0) -> int:
        """The first value of a tag."""
        tag = self.tags.get(number)
        return tag.values[0] if tag and tag.values else default

    def all(self, number: int) -> tuple[int, ...]:
        tag = self.tags.get(number)
        return tag.values if tag else ()


def directories(data: bytes) -> Iterator[Directory]:
    """The directories of a TIFF file or of EXIF, in order. ValueError or struct.error if they are damaged."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise ValueError("no TIFF")
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    place, seen = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0], set[int]()
    while place and place not in seen:
        seen.add(place)
        directory, place = _directory(data, place, order, big)
        yield directory


def below(data: bytes, directory: Directory) -> Iterator[Directory]:
    """The subdirectories of a directory: in a raw file, its pictures."""
    for place in directory.all(SUB_IFDS):
        yield _directory(data, place, directory.order, struct.unpack_from(f"{directory.order}H", data, 2)[0] == 43)[0]


def _directory(data: bytes, place: int, order: str, big: bool) -> tuple[Directory, int]:
    head, entry, offset = (8, "HHQ", "Q") if big else (2, "HHI", "I")
    if place > len(data):
        raise ValueError("a directory lies outside of the file")
    count = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, place)[0]
    if count > 4096:
        raise ValueError("more than 4096 tags")
    place += head
    tags: dict[int, Tag] = {}
    room = struct.calcsize(offset)
    step = struct.calcsize(f"={entry}") + room
    for _ in range(count):
        number, form, many = struct.unpack_from(f"{order}{entry}", data, place)
        if form in WHOLE and many <= MOST:
            at = place + step - room
            if SIZES[form] * many > room:
                at = struct.unpack_from(f"{order}{offset}", data, at)[0]
            whole = at + SIZES[form] * many <= len(data)
            tags.setdefault(
                number, Tag(struct.unpack_from(f"{order}{many}{WHOLE[form]}", data, at) if whole else (), at)
            )
        place += step
    following = struct.unpack_from(f"{order}{offset}", data, place)[0] if place + room <= len(data) else 0
    return Directory(order, tags), following


def exif_orientation(exif: bytes | None, xmp: bytes | None = None) -> int:
    """The orientation of a picture, 1 to 8: from EXIF, otherwise from XMP, otherwise 1. Both may lack their
    signature."""
    if exif:
        try:
            orientation = next(directories(exif.removeprefix(b"Exif\0\0"))).get(ORIENTATION)
        except (ValueError, struct.error, StopIteration):
            orientation = 0  # it is not valid EXIF
        if 1 <= orientation <= 8:
            return orientation
    found = XMP.search(xmp) if xmp else None
    return int(found[1]) if found else 1


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """A picture as it should be displayed."""
    if orientation in (2, 4):
        return cv2.flip(image, 1 if orientation == 2 else 0)
    if orientation in (3, 6, 8):
        turns = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
        return cv2.rotate(image, turns[orientation])
    if orientation in (5, 7):
        turned = cv2.transpose(image)
        return turned if orientation == 5 else cv2.flip(turned, -1)
    return image
