"""BMP: whether it is complete, and not compressed, which OpenCV decodes wrongly."""

from __future__ import annotations

from mien.sources.stills.layout import CUT_OFF, Layout, Unreadable


def bmp_layout(data: bytes) -> Layout:
    """The layout of a BMP file. Raises Unreadable if it is cut off or compressed."""
    if len(data) < 30:
        raise Unreadable(CUT_OFF)
    wide = int.from_bytes(data[14:18], "little") > 12
    at, step = 18, 4 if wide else 2
    width, height = (int.from_bytes(data[i : i + step], "little", signed=wide) for i in (at, at + step))
    bits = int.from_bytes(data[at + 2 * step + 2 : at + 2 * step + 4], "little")
    compression = int.from_bytes(data[30:34], "little") if wide else 0
    if compression not in (0, 3, 6):
        raise Unreadable("is a compressed BMP, which is not supported; save it as PNG")
    if int.from_bytes(data[10:14], "little") + -(-width * bits // 32) * 4 * abs(height) > len(data):
        raise Unreadable(CUT_OFF)
    # With an old header and 24 bits, colors become gray if pixels are requested unchanged.
    return Layout(data, (max(width, 0), abs(height)), plain=bits != 32)
