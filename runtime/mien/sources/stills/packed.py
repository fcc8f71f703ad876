"""Whether compressed pixels are complete."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

STEP = 1 << 20


def is_whole(parts: Iterable[bytes], limit: int) -> bool:
    """Whether a zlib stream is complete, with the right checksum, and yields at most ``limit`` bytes."""
    unpacked, total = zlib.decompressobj(), 0
    try:
        for part in parts:
            more = True
            while more and not unpacked.eof:
                got = len(unpacked.decompress(part, STEP))
                total, part = total + got, unpacked.unconsumed_tail
                more = bool(part) or got == STEP
                if total > limit:
                    return False
    except zlib.error:
        return False
    return unpacked.eof
