"""Whether a video file is whole, by its own index: what it says of its pictures alone, not of its sound.

FFmpeg's duration is that of the longest track, so a song that goes on under the credits would look like lost frames.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
TOP = (b"mdat", b"moov", b"moof", b"mfra", b"sidx")
"""What is missed where it is not whole."""
LARGEST_INDEX = 2**28
"""Bytes of an MP4's index; a day of video has some 50 MB."""


class Ending(NamedTuple):
    """``cut``: the file is shorter than it says. ``seconds``: how long its pictures last, or None."""

    cut: bool = False
    seconds: float | None = None


def ending(path: Path) -> Ending:
    """What the index of a video file says of its end; of formats without one, or a damaged one, nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
            if head[4:8] in (b"ftyp", b"wide", b"free", *TOP):
                return _mp4(file)
            if head[:4] == EBML:
                return Ending(_matroska_is_cut(file))
            if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
                return Ending(_avi_is_cut(file))
            if head[:3] == b"FLV":
                return Ending(_flv_is_cut(file))
    except (OSError, struct.error, IndexError, ZeroDivisionError):
        pass
    return Ending()


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _mp4(file: BinaryIO) -> Ending:
    end, at, cut = _size(file), 0, False
    lengths: list[float] = []
    while at + 8 <= end:
        file.seek(at)
        size, kind, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        size = large if size == 1 else size or end - at
        cut = kind in TOP and at + size > end
        if size < 8 or cut:
            break
        if kind == b"moov" and size < LARGEST_INDEX:
            file.seek(at)
            lengths = list(_film_lengths(file.read(size)))
        at += size
    return Ending(cut, min(lengths, default=None))


def _film_lengths(moov: bytes) -> Iterator[float]:
    """Seconds that each video track is shown, without the pause before it and what its edit list leaves out."""
    (scale,) = (_timescale(box)[0] for kind, box in _boxes(moov, 8) if kind == b"mvhd")
    for kind, track in _boxes(moov, 8):
        if kind != b"trak":
            continue
        parts = dict(_boxes(track, 8))
        media = dict(_boxes(parts[b"mdia"], 8))
        if media[b"hdlr"][16:20] != b"vide":
            continue
        own, duration = _timescale(media[b"mdhd"])
        shown = sum(_shown(dict(_boxes(parts[b"edts"], 8))[b"elst"])) if b"edts" in parts else 0
        if shown or duration:
            yield shown / scale if shown else duration / own


def _boxes(data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """Kind and whole of each box in the box ``data``, the first of which is at ``at``."""
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:
            return
        yield data[at + 4 : at + 8], data[at : at + size]
        at += size


def _timescale(box: bytes) -> tuple[int, int]:
    """Ticks a second and ticks of an mvhd or mdhd."""
    return struct.unpack_from(">IQ", box, 28) if box[8] else struct.unpack_from(">II", box, 20)


def _shown(elst: bytes) -> Iterator[int]:
    wide = elst[8]
    for index in range(int.from_bytes(elst[12:16], "big")):
        duration, start = struct.unpack_from(">Qq" if wide else ">Ii", elst, 16 + index * (20 if wide else 12))
        if start >= 0:
            yield duration


def _matroska_is_cut(file: BinaryIO) -> bool:
    end = _size(file)
    file.seek(4)
    header = _vint(file)
    at = file.seek(file.tell() + (header or 0))
    if header is None or file.read(4) != SEGMENT:
        return False
    size = _vint(file)
    return size is not None and at < end and file.tell() + size > end


def _vint(file: BinaryIO) -> int | None:
    """A length of EBML, or None where it is not known, as while it is recorded."""
    first = file.read(1)[0]
    extra = 8 - first.bit_length()
    value = int.from_bytes(bytes([first & (0x7F >> extra)]) + file.read(extra), "big")
    return None if value == (1 << 7 * (extra + 1)) - 1 else value


def _avi_is_cut(file: BinaryIO) -> bool:
    end = _size(file)
    file.seek(4)
    size = int.from_bytes(file.read(4), "little")
    return size != 2**32 - 1 and size + 8 > end


def _flv_is_cut(file: BinaryIO) -> bool:
    """Each tag is followed by its size, so the last one can be found from the end."""
    end = _size(file)
    file.seek(max(0, end - 4))
    size = int.from_bytes(file.read(4), "big")
    if not 11 <= size <= end - 17:
        return True
    file.seek(end - 4 - size)
    return int.from_bytes(file.read(4)[1:], "big") + 11 != size
