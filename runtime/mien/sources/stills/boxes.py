"""AVIF and HEIC, whose files consist of boxes: how the first picture is cropped, turned and mirrored, and its bits."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction

from mien.sources.boxes import boxes as all_boxes
from mien.sources.stills.kinds import brands
from mien.sources.stills.layout import CUT_OFF, Layout, Unreadable, damaged

TURNS = {0: 1, 1: 8, 2: 3, 3: 6}
"""Number of quarter turns to the left -> EXIF orientation."""
MIRRORED = {0: {1: 4, 8: 5, 3: 2, 6: 7}, 1: {1: 2, 8: 7, 3: 4, 6: 5}}
"""EXIF orientation after mirroring: top and bottom (0), or left and right (1), change places."""
UPRIGHT = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def box_layout(data: bytes) -> Layout:
    """What the boxes say about the first picture. Raises Unreadable if the file is cut off or damaged, or if its pixels
    are not square."""
    try:
        return _layout(data)
    except (struct.error, IndexError, ZeroDivisionError) as error:
        raise damaged("its boxes do not fit together") from error


def moves(data: bytes) -> bool:
    """Whether a file is a sequence of pictures."""
    return bool(brands(data[:4096]) & {b"avis", b"msf1", b"hevc", b"hevx"}) and b"moov" in dict(boxes(data))


def frames_of(data: bytes) -> int:
    """Number of pictures of a sequence. Unreadable if it must be turned, which is not supported."""
    movie = dict(boxes(data))[b"moov"]
    count = 0
    for kind, track in boxes(movie):
        if kind != b"trak":
            continue
        header = dict(boxes(track)).get(b"tkhd", b"")
        start = 52 if header[:1] == b"\1" else 40
        if header[start : start + 36] != UPRIGHT:
            raise Unreadable("is a sequence that must be turned, which is not supported; convert it to MP4")
        table = track.find(b"stsz")
        count = max(count, struct.unpack_from(">I", track, table + 12)[0] if table >= 0 else 0)
    return count


def _layout(data: bytes) -> Layout:
    top = dict(boxes(data))
    meta = top.get(b"meta")
    if meta is None:
        raise damaged("it does not describe its content")
    inner = dict(boxes(meta[4:]))
    properties = dict(boxes(inner.get(b"iprp", b"")))
    known = list(boxes(properties.get(b"ipco", b"")))
    primary = inner.get(b"pitm", b"\0" * 6)
    wanted = int.from_bytes(primary[4:6] if not primary[0] else primary[4:8], "big")
    mine = [known[i - 1] for i in _associations(properties.get(b"ipma", b""), wanted) if 0 < i <= len(known)]
    own = dict(reversed(mine))
    size = struct.unpack_from(">II", own[b"ispe"], 4) if b"ispe" in own else (0, 0)
    if b"pasp" in own and len(set(struct.unpack(">II", own[b"pasp"][:8]))) > 1:
        raise Unreadable("has pixels that are not square, which is not supported; save it with square pixels")
    crop, orientation = None, 1
    for kind, body in mine:  # the standard prescribes this order
        if kind == b"clap":
            crop = _crop(body, size)
        elif kind == b"irot":
            orientation = TURNS[body[0] & 3]
        elif kind == b"imir":
            orientation = MIRRORED[body[0] & 1].get(orientation, orientation)
    bits = _bits(own, known)
    return Layout(data, size, white=(1 << bits) - 1 if bits > 8 else 0, crop=crop, orientation=orientation)


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each box of a picture, which must be complete."""
    try:
        yield from all_boxes(data, complete=True)
    except EOFError:
        raise Unreadable(CUT_OFF) from None
    except ValueError as error:
        raise damaged(str(error)) from None


def _associations(table: bytes, wanted: int) -> list[int]:
    """Numbers of an item's properties, from 1."""
    if not table:
        return []
    wide, large, place = table[3] & 1, table[0] > 0, 8
    for _ in range(struct.unpack_from(">I", table, 4)[0]):
        item = struct.unpack_from(">I" if large else ">H", table, place)[0]
        place += 4 if large else 2
        count, place = table[place], place + 1
        step = 2 if wide else 1
        numbers = [int.from_bytes(table[place + i * step : place + (i + 1) * step], "big") for i in range(count)]
        place += count * step
        if item == wanted:
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]
    return []


def _crop(clap: bytes, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of a clean aperture, which stores its size and the offset of its middle as
    fractions."""
    numbers = struct.unpack(">IIIIiIiI", clap[:32])
    width, height, across, down = (Fraction(*numbers[i : i + 2]) for i in range(0, 8, 2))
    left, top = (size[0] - width) / 2 + across, (size[1] - height) / 2 + down
    if min(left, top) < 0 or left + width > size[0] or top + height > size[1] or min(width, height) < 1:
        raise damaged("it is cropped to an area outside of it")
    return round(left), round(top), round(width), round(height)


def _bits(own: dict[bytes, bytes], known: list[tuple[bytes, bytes]]) -> int:
    """Bits per sample of the item, or of the tiles from which it is composed."""
    if b"pixi" in own and len(own[b"pixi"]) > 5:
        return own[b"pixi"][5]
    config = own.get(b"av1C") or dict(reversed(known)).get(b"av1C", b"\0\0\0\0")
    return 8 if not config[2] & 0x40 else 12 if config[2] & 0x20 else 10
