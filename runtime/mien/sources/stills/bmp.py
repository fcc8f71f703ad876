"""BMP: whether it is whole, and not compressed, which OpenCV gets wrong."""

from __future__ import annotations

from mien.sources.stills.layout import CUT_OFF, Layout, Unreadable


def bmp_layout(data: bytes) -> Layout:
    """Raises Unreadable for what is cut off or compressed."""
    if len(data) < 30:
        raise Unreadable(CUT_OFF)
    wide = int.from_bytes(data[14:18], "little") > 12
    at, step = 18, 4 if wide else 2
    width, height = (int.from_bytes(data[i : i + step], "little", signed=wide) for i in (at, at + step))
    bits = int.from_bytes(data[at + 2 * step + 2 : at + 2 * step + 4], "little")
    compression = int.from_bytes(data[30:34], "little") if wide else 0
    if compression not in (0, 3, 6):
        raise Unreadable("is a compressed BMP, which is not read here; save it as PNG")
    if int.from_bytes(data[10:14], "little") + -(-width * bits // 32) * 4 * abs(height) > len(data):
        raise Unreadable(CUT_OFF)
    # Colors of the old header with 24 bits come out gray where pixels are asked for as they are stored.
    return Layout(data, (max(width, 0), abs(height)), plain=bits != 32)
