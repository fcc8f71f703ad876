"""JPEG 2000: its size, and its bits, which OpenCV does not scale."""

from __future__ import annotations

import struct

from mien.sources.stills.boxes import boxes
from mien.sources.stills.layout import CUT_OFF, Layout, Unreadable, damaged, unknown
from mien.sources.stills.tags import exif_orientation

START, END = b"\xff\x4f\xff\x51", b"\xff\xd9"
SRGB, GRAY, SYCC = 16, 17, 18
EXIF = b"JpgTiffExif->JP2"
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def jpeg2000_layout(data: bytes) -> Layout:
    """The layout of a JPEG 2000 file. Raises Unreadable if it is cut off, or if OpenCV gets its colors or bits
    wrong."""
    stream, orientation = data, 1
    if not data.startswith(START):
        top = list(boxes(data))
        stream = next((body for kind, body in top if kind == b"jp2c"), b"")
        extra = [body for kind, body in top if kind == b"uuid"]
        exif = next((body[16:] for body in extra if body.startswith(EXIF)), None)
        orientation = exif_orientation(exif, next((body[16:] for body in extra if body.startswith(XMP)), None))
        header = list(boxes(next((body for kind, body in top if kind == b"jp2h"), b"")))
        if any(kind == b"pclr" for kind, _ in header):
            raise unknown("is a JPEG 2000 with a palette")
        colors = [
            struct.unpack_from(">I", body, 3)[0] for kind, body in header if kind == b"colr" and body[:1] == b"\1"
        ]
        if colors and colors[0] not in (SRGB, GRAY, SYCC):
            raise unknown(f"is a JPEG 2000 with color space {colors[0]}")
    if not stream.startswith(START) or len(stream) < 44:
        raise damaged("it contains no picture")
    if not stream.rstrip(b"\0\n").endswith(END):
        raise Unreadable(CUT_OFF)
    right, bottom, left, top_edge = struct.unpack_from(">4I", stream, 8)
    channels = struct.unpack_from(">H", stream, 40)[0]
    depths = {stream[42 + 3 * i] for i in range(channels) if 42 + 3 * i < len(stream)}
    bits = max(depths, default=255) + 1
    if len(depths) != 1 or not 8 <= bits <= 16:
        raise unknown(f"is a JPEG 2000 of {'/'.join(str((depth & 127) + 1) for depth in depths)} bits")
    if channels not in (1, 3, 4):
        raise unknown(f"is a JPEG 2000 with {channels} channels")
    white = (1 << bits) - 1 if bits > 8 else 0
    return Layout(data, (right - left, bottom - top_edge), white=white, orientation=orientation)
