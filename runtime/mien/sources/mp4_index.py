"""The index of an MP4 or QuickTime file: how long its pictures are shown, and their orientation."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

TOP = (b"mdat", b"moov", b"moof", b"mfra", b"sidx")
"""Boxes of which every byte is needed."""
MAX_BYTES = 2**28
"""Of an index; that of a day of video has about 50 MB."""


class Track(NamedTuple):
    """A video track. ``seconds``: its duration, without the pause before it and what its edit list leaves out; 0 if
    unknown. If ``mirrored``, it is shown mirrored left to right, and then turned clockwise by ``degrees``."""

    seconds: float
    mirrored: bool
    degrees: float


class Movie(NamedTuple):
    """The index of a file. ``cut``: a part of the file extends beyond its end."""

    cut: bool
    tracks: list[Track]


def is_movie(head: bytes) -> bool:
    """Whether a file that starts with ``head`` is an MP4 or QuickTime file."""
    return head[4:8] in (b"ftyp", b"wide", b"free", b"skip", *TOP)


def mirrored_turn(path: Path) -> float | None:
    """The angle in degrees by which a video that is shown mirrored is then turned clockwise; None for other videos."""
    try:
        with path.open("rb") as file:
            tracks = read_movie(file).tracks if is_movie(file.read(8)) else []
    except OSError:
        return None
    return tracks[0].degrees if tracks and tracks[0].mirrored else None


def read_movie(file: BinaryIO) -> Movie:
    """Read the index; of a damaged one, as much as possible."""
    end, at, cut = file.seek(0, 2), 0, False
    tracks: list[Track] = []
    while at + 8 <= end:
        file.seek(at)
        size, kind, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        size = large if size == 1 else size or end - at
        cut = kind in TOP and at + size > end
        if size < 8 or cut:
            break
        if kind == b"moov" and size < MAX_BYTES:
            file.seek(at)
            with suppress(struct.error, LookupError, ZeroDivisionError):
                tracks = list(_tracks(file.read(size)))
        at += size
    return Movie(cut, tracks)


def _tracks(moov: bytes) -> Iterator[Track]:
    scale, _ = _timescale(dict(_boxes(moov))[b"mvhd"])
    for kind, track in _boxes(moov):
        if kind != b"trak":
            continue
        parts = dict(_boxes(track))
        media = dict(_boxes(parts[b"mdia"]))
        if media[b"hdlr"][16:20] != b"vide":
            continue
        own, duration = _timescale(media[b"mdhd"])
        shown = sum(_shown(dict(_boxes(parts[b"edts"]))[b"elst"])) if b"edts" in parts else 0
        yield Track(shown / scale if shown else duration / own, *_orientation(parts[b"tkhd"]))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and complete content of each box inside the box ``data``."""
    at = 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:
            return
        yield data[at + 4 : at + 8], data[at : at + size]
        at += size


def _timescale(box: bytes) -> tuple[int, int]:
    """Ticks per second and duration in ticks of an mvhd or mdhd box. A fragmented file has no duration here."""
    scale, ticks = struct.unpack_from(">IQ", box, 28) if box[8] else struct.unpack_from(">II", box, 20)
    return scale, 0 if ticks in (2**32 - 1, 2**64 - 1) else ticks


def _shown(elst: bytes) -> Iterator[int]:
    """Ticks of each edit except pauses."""
    wide = elst[8]
    for index in range(int.from_bytes(elst[12:16], "big")):
        duration, start = struct.unpack_from(">Qq" if wide else ">Ii", elst, 16 + index * (20 if wide else 12))
        if start >= 0:
            yield duration


def _orientation(tkhd: bytes) -> tuple[bool, float]:
    """Whether it is mirrored, and its angle. A point (x, y) is shown at (a x + c y, b x + d y)."""
    a, b, _, c, d = struct.unpack_from(">5i", tkhd, 60 if tkhd[8] else 48)
    mirrored = a * d < b * c
    return mirrored, math.degrees(math.atan2(-b, -a) if mirrored else math.atan2(b, a)) % 360
