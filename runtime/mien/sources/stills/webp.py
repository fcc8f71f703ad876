"""WebP: its chunks, and the frames of an animated one."""

from __future__ import annotations

from collections.abc import Iterator

from mien.sources.stills.layout import CUT_OFF, Cell, Layout, Unreadable, damaged
from mien.sources.stills.tags import exif_orientation

ANIMATED, ALPHA = 0x02, 0x10


def webp_layout(data: bytes) -> Layout:
    """The layout of a WebP file. Raises Unreadable if it is cut off or damaged."""
    length = 8 + int.from_bytes(data[4:8], "little")
    if length > len(data) + 1:  # the padding byte of an odd chunk at the end may be missing
        raise Unreadable(CUT_OFF)
    chunks = list(_chunks(data[:length], 12))
    found = dict(reversed(chunks))
    head = found.get(b"VP8X", b"")
    if len(head) < 10:
        return Layout(data, _size(chunks))
    size = _number(head, 4) + 1, _number(head, 7) + 1
    cells = [_cell(body) for kind, body in chunks if kind == b"ANMF"] if head[0] & ANIMATED else []
    return Layout(data, size, orientation=exif_orientation(found.get(b"EXIF"), found.get(b"XMP ")), cells=cells)


def _chunks(data: bytes, place: int) -> Iterator[tuple[bytes, bytes]]:
    while place + 8 <= len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        if place + 8 + length > len(data):
            raise Unreadable(CUT_OFF)
        yield data[place : place + 4], data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _size(chunks: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    kind, body = chunks[0] if chunks else (b"", b"")
    if kind == b"VP8 " and len(body) >= 10:
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise damaged("it contains no picture")


def _number(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 3], "little")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def _cell(frame: bytes) -> Cell:
    """A frame as a separate WebP file."""
    if len(frame) < 16:
        raise damaged("a frame is smaller than its header")
    left, top, width, height, ms = (_number(frame, i) for i in range(0, 15, 3))
    parts = [(kind, body) for kind, body in _chunks(frame, 16) if kind in (b"ALPH", b"VP8 ", b"VP8L")]
    flags = ALPHA if parts and parts[0][0] != b"VP8 " else 0
    head = bytes([flags, 0, 0, 0]) + frame[6:12]
    body = b"WEBP" + _chunk(b"VP8X", head) + b"".join(_chunk(*part) for part in parts)
    after = "clear" if frame[15] & 1 else "keep"
    data = b"RIFF" + len(body).to_bytes(4, "little") + body
    return Cell(data, 2 * left, 2 * top, (width + 1, height + 1), ms / 1000, not frame[15] & 2, after)  # type: ignore[arg-type]
