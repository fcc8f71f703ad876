"""PNG: its chunks, each of which has a checksum, and the frames of an animated one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Literal

from mien.sources.stills.layout import CUT_OFF, Cell, Layout, Unreadable, damaged
from mien.sources.stills.packed import is_whole
from mien.sources.stills.tags import exif_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHECKED = (b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT")
"""Chunks that the picture depends on. A decoder ignores damaged chunks of other kinds."""
GRAY = 0
COLORS = (b"PLTE", b"tRNS")
AFTER: tuple[Literal["keep"], Literal["clear"], Literal["restore"]] = ("keep", "clear", "restore")


def png_layout(data: bytes) -> Layout:
    """The layout of a PNG file. Raises Unreadable if it is cut off or damaged."""
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise damaged("its header is missing")
    if chunks[-1][0] != b"IEND":
        if not _ends(chunks):
            raise Unreadable(CUT_OFF)
        data = b"".join([SIGNATURE, *(_chunk(kind, body) for kind, body in chunks), _chunk(b"IEND", b"")])
    header = chunks[0][1]
    size = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    first = dict(reversed(chunks))
    moves = int.from_bytes(first.get(b"acTL", b"")[:4], "big") > 1
    clear = None
    if header[9] == GRAY and b"tRNS" in first:  # OpenCV supports it only for colors
        bits = header[8]
        clear = int.from_bytes(first[b"tRNS"][:2], "big") & ((1 << bits) - 1)
        clear = clear * 255 // ((1 << bits) - 1) if bits < 8 else clear
    cells = _cells(chunks) if moves else ()
    return Layout(data, size, clear=clear, orientation=_orientation(chunks), cells=cells)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the complete chunks, up to the end of the picture."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        stop = place + 12 + length
        if stop > len(data):
            return
        kind, body = data[place + 4 : place + 8], data[place + 8 : stop - 4]
        if kind in CHECKED and zlib.crc32(data[place + 4 : stop - 4]) != int.from_bytes(data[stop - 4 : stop], "big"):
            raise damaged(f"the checksum at byte {place} is wrong")
        if not kind.isalpha():
            raise damaged(f"there is no chunk at byte {place}")
        yield kind, body
        if kind == b"IEND":
            return
        place = stop


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def _ends(chunks: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the pixels are complete although the end of the file is missing."""
    header = chunks[0][1]
    pixels = int.from_bytes(header[:4], "big") * int.from_bytes(header[4:8], "big")
    whole = is_whole((body for kind, body in chunks if kind == b"IDAT"), 16 * pixels + (1 << 24))
    return whole and all(kind != b"acTL" for kind, _ in chunks)


def _orientation(chunks: Sequence[tuple[bytes, bytes]]) -> int:
    exif = next((body for kind, body in chunks if kind == b"eXIf"), None)
    xmp = next((body for kind, body in chunks if kind == b"iTXt" and body.startswith(b"XML:com.adobe.xmp\0")), None)
    for kind, body in chunks:
        if exif is None and kind == b"zTXt" and body.startswith(b"Raw profile type exif\0"):  # by older ImageMagick
            try:
                exif = bytes.fromhex("".join(zlib.decompress(body[23:]).decode("ascii").split()[2:]))
            except (zlib.error, ValueError):
                continue
    return exif_orientation(exif, xmp)


def _cells(chunks: Sequence[tuple[bytes, bytes]]) -> list[Cell]:
    """Each frame as a separate PNG. Pixels before the first control chunk are for viewers without animation."""
    header = chunks[0][1]
    colors = b"".join(_chunk(kind, body) for kind, body in chunks if kind in COLORS)
    cells: list[Cell] = []
    control = b""
    pixels: list[bytes] = []

    def finish() -> None:
        if len(control) != 26 or not pixels:
            return
        width, height, left, top = (int.from_bytes(control[i : i + 4], "big") for i in range(4, 20, 4))
        delay, parts = int.from_bytes(control[20:22], "big"), int.from_bytes(control[22:24], "big") or 100
        head = control[4:12] + header[8:]
        data = SIGNATURE + _chunk(b"IHDR", head) + colors + _chunk(b"IDAT", b"".join(pixels)) + _chunk(b"IEND", b"")
        after = AFTER[min(control[24], 2)]
        cells.append(Cell(data, left, top, (width, height), delay / parts, control[25] == 1, after))

    for kind, body in chunks:
        if kind == b"fcTL":
            finish()
            control = body
            pixels.clear()
        elif kind == b"IDAT" and control:
            pixels.append(body)
        elif kind == b"fdAT":
            pixels.append(body[4:])
    finish()
    return cells
