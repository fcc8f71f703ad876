"""The boxes of an MP4 or MOV file (ISO/IEC 14496-12): read from an encoder's file, and built."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from mien.sources.boxes import boxes


@dataclass(frozen=True)
class Piece:
    """The output of an encoder. ``stsd``: the box that describes the codec. ``sync``: which samples can be decoded on
    their own. ``shifts``: display time minus decoding time, in s."""

    size: tuple[int, int]
    stsd: bytes
    samples: Sequence[bytes]
    sync: Sequence[bool]
    shifts: Sequence[float]


def read_piece(data: bytes) -> Piece:
    """The samples of an MP4 or MOV file with one video track. ValueError if it is not a complete one."""
    try:
        track = find(data, b"moov", b"trak")
        media = find(track, b"mdia")
        table = dict(boxes(find(media, b"minf", b"stbl")))
        width, height = struct.unpack(">II", find(track, b"tkhd")[-8:])
        times = find(media, b"mdhd")
        ticks = struct.unpack_from(">I", times, 20 if times[0] else 12)[0]
        fixed, count = struct.unpack_from(">II", table[b"stsz"], 4)
        sizes = [fixed] * count if fixed else list(struct.unpack_from(f">{count}I", table[b"stsz"], 12))
        samples: list[bytes] = []
        for start, number in chunks(table):
            for _ in range(number):
                size = sizes[len(samples)]
                if start + size > len(data):
                    raise ValueError("samples are cut off")
                samples.append(data[start : start + size])
                start += size
        if len(samples) != count:
            raise ValueError("samples are missing")
        key = {number for (number,) in rows(table[b"stss"])} if b"stss" in table else range(1, count + 1)
        runs = rows(table[b"ctts"], "II") if b"ctts" in table else [(count, 0)]
        shifts = [(shift - (shift >> 31 << 32)) / ticks for number, shift in runs for _ in range(number)]
        return Piece(
            (width >> 16, height >> 16),
            box(b"stsd", table[b"stsd"]),
            samples,
            [i + 1 in key for i in range(count)],
            [shift - shifts[0] for shift in shifts],  # so that there is no gap between pieces
        )
    except (KeyError, IndexError, struct.error, TypeError) as error:
        raise ValueError(f"not the MP4 file that was expected: {error!r}") from error


def box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, parts)), kind) + b"".join(parts)


def table(kind: bytes, rows: Sequence[tuple[int, ...]], version: int = 0) -> bytes:
    """A box with rows of 32-bit numbers, negative ones as two's complement."""
    body = b"".join(struct.pack(">I", value & 0xFFFFFFFF) for row in rows for value in row)
    return box(kind, struct.pack(">II", version << 24, len(rows)), body)


def runs(values: Iterable[int]) -> list[tuple[int, int]]:
    """Run-length encoding: how often each value is repeated."""
    return [(len(list(same)), value) for value, same in groupby(values)]


def find(data: bytes, *kinds: bytes) -> bytes:
    for kind in kinds:
        data = next((found for name, found in boxes(data) if name == kind), b"")
        if not data:
            raise ValueError(f"there is no {kind.decode('latin-1')}")
    return data


def rows(table: bytes, kinds: str = "I") -> list[tuple[int, ...]]:
    count = struct.unpack_from(">I", table, 4)[0]
    return [struct.unpack_from(f">{kinds}", table, 8 + i * struct.calcsize(f">{kinds}")) for i in range(count)]


def chunks(table: dict[bytes, bytes]) -> Iterator[tuple[int, int]]:
    """Position and number of samples of each chunk."""
    places = rows(table[b"co64"], "Q") if b"co64" in table else rows(table[b"stco"])
    runs = rows(table[b"stsc"], "III")
    for i, (place,) in enumerate(places):
        yield place, next(number for first, number, _ in reversed(runs) if first <= i + 1)
