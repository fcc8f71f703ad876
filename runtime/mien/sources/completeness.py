"""Whether a video file is complete, according to its own index of pictures, not of sound.

FFmpeg's duration is that of the longest track, so sound that is longer than the pictures would look like lost frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

from mien.sources.mp4_index import is_movie, read_movie

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
BLANK_BYTES = 4096
"""If so many bytes at the end are all zero, they were never written."""


class Ending(NamedTuple):
    """The end of a video file. ``cut``: the file is shorter than it says, or its end was never written. ``seconds``:
    duration of its pictures, or None."""

    cut: bool = False
    seconds: float | None = None


def ending(path: Path) -> Ending:
    """What the index of a video file says about its end; nothing for formats without an index, or a damaged one."""
    try:
        with path.open("rb") as file:
            if _is_blank(file):
                return Ending(cut=True)
            file.seek(0)
            head = file.read(16)
            if is_movie(head):
                movie = read_movie(file)
                return Ending(movie.cut, min((track.seconds for track in movie.tracks if track.seconds), default=None))
            if head[:4] == EBML:
                return Ending(_matroska_is_cut(file))
            if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
                return Ending(_avi_is_cut(file))
            if head[:3] == b"FLV":
                return Ending(_flv_is_cut(file))
            if head == ASF:
                return Ending(_asf_is_cut(file))
    except (OSError, IndexError):
        pass
    return Ending()


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _is_blank(file: BinaryIO) -> bool:
    """Whether the end of a file is empty, for example because a download only reserved the space."""
    file.seek(max(0, _size(file) - BLANK_BYTES))
    return not any(file.read())


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
    """A length in EBML, or None if it is unknown, as during recording."""
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


def _asf_is_cut(file: BinaryIO) -> bool:
    file.seek(0)
    head = file.read(1 << 16)
    at = head.find(ASF_PROPERTIES)
    return at >= 0 and int.from_bytes(head[at + 40 : at + 48], "little") > _size(file)
