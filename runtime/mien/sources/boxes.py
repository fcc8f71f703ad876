"""Boxes, of which MP4, QuickTime, AVIF, HEIC and JPEG 2000 files consist (ISO/IEC 14496-12, section 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def boxes(data: bytes, *, complete: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each box in ``data``. The body of the last one may be cut off.

    Raises:
        ValueError: a box is smaller than its header.
        EOFError: with ``complete``, a box ends after the data.
    """
    place = 0
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, place + 8)[0], 16
        size = size or len(data) - place
        if size < head:
            raise ValueError("a box is smaller than its header")
        if complete and place + size > len(data):
            raise EOFError
        yield kind, data[place + head : place + size]
        place += size
