"""JPEG: its segments, whether it is complete, and what libjpeg says about its data."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mien.sources.stills.layout import CUT_OFF, Layout, Unreadable, damaged, unknown
from mien.sources.stills.tags import exif_orientation

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
START_OF_SCAN, HUFFMAN = 0xDA, 0xC4
BASELINE = (0xC0, 0xC1)
FRAMES = dict.fromkeys((*BASELINE, 194, 201, 202), "")
FRAMES |= {0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "lossless"}
FRAMES |= {0xCB: "lossless", 0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "lossless"}
HOLE = bytes(64)
"""As codes of coefficients, so many zeros mean three blocks full of the finest detail, which no picture contains."""
DAMAGE = re.compile(r"^(?:Corrupt JPEG data: .*|Premature end of JPEG file|Inconsistent progression.*)$", re.MULTILINE)
EXTRA = re.compile(r"Corrupt JPEG data: ([0-9]+) extraneous bytes before marker 0xd9")


def jpeg_layout(data: bytes) -> Layout:
    """The layout of a JPEG file. Raises Unreadable if it is cut off, has holes, or is of a kind unknown to libjpeg."""
    segments = list(_segments(data))
    scans = [place for kind, place in segments if kind == START_OF_SCAN]
    frame = next(((kind, place) for kind, place in segments if kind in FRAMES), None)
    if frame is None or not scans:
        raise Unreadable(CUT_OFF)
    kind, place = frame
    if FRAMES[kind]:
        raise unknown(f"is a {FRAMES[kind]} JPEG")
    if data[place + 4] != 8:
        raise unknown(f"is a JPEG of {data[place + 4]} bits")
    end = data.find(EOI, scans[0])
    ended = end >= 0
    if not ended:
        if not _has_all_scans(data, kind, place):
            raise Unreadable(CUT_OFF)
        end = len(data) - data.endswith(b"\xff")
        data = data[:end] + EOI
    if kind in (*BASELINE, 0xC2):
        _look_for_hole(data, kind, segments, end)
    head = b"".join(data[at : at + _length(data, at)] for _, at in segments)
    size = int.from_bytes(data[place + 7 : place + 9], "big"), int.from_bytes(data[place + 5 : place + 7], "big")
    # Bytes between segments mean nothing, but would use up libjpeg's single warning per picture.
    tidy = SOI + head + data[scans[0] + _length(data, scans[0]) :]
    return Layout(tidy, size, ended, orientation=_orientation(data, segments))


def check_words(words: str, layout: Layout) -> None:
    """Raises Unreadable if libjpeg complained on stderr about the data that it decoded."""
    found = DAMAGE.search(words)
    if not found:
        return
    if not layout.ended:
        raise Unreadable(CUT_OFF)
    data, extra = layout.data, EXTRA.match(found[0])
    if extra:  # some cameras pad their files
        end = data.find(EOI, data.find(b"\xff\xda"))
        count = int(extra[1])
        padding = data[end - count : end]
        if padding and padding == padding[:1] * count and data[end - count - 16 : end - count] != padding[:1] * 16:
            return
    raise damaged(found[0].removeprefix("Corrupt JPEG data: "))


def _segments(data: bytes, place: int = 2) -> Iterator[tuple[int, int]]:
    """Kind and position of segments up to the next scan, found as by libjpeg, which skips garbage between them."""
    while 0 <= (place := data.find(b"\xff", place)) <= len(data) - 4:
        kind = data[place + 1]
        if kind in (0x00, 0xFF) or 0xD0 <= kind <= 0xD8:
            place += 1
            continue
        yield kind, place
        if kind == START_OF_SCAN:
            return
        place += _length(data, place)


def _length(data: bytes, place: int) -> int:
    """Length of a segment, including its marker."""
    return 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def _orientation(data: bytes, segments: list[tuple[int, int]]) -> int:
    parts = [data[at + 4 : at + _length(data, at)] for kind, at in segments if kind == 0xE1]
    exif = next((part for part in parts if part.startswith(b"Exif\0\0")), None)
    xmp = next((part for part in parts if part.startswith(b"http://ns.adobe.com/xap/1.0/\0")), None)
    return exif_orientation(exif, xmp)


def _scans(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The header of each scan, and where its data starts."""
    at = 2
    while True:
        found = [place for kind, place in _segments(data, at) if kind == START_OF_SCAN]
        if not found:
            return
        at = found[0] + _length(data, found[0])
        header = data[found[0] + 4 : at]
        if len(header) < 6 or len(header) != 4 + 2 * header[0]:
            raise damaged(f"the header of the scan at byte {found[0]} is inconsistent")
        yield header, at


def _has_all_scans(data: bytes, frame: int, place: int) -> bool:
    """Whether there are scans of every coefficient to its last bit; libjpeg notices whether the last one is complete. A
    picture that is cut off between two of many scans would otherwise be read without its fine detail."""
    count = data[place + 9]
    missing = {data[place + 10 + 3 * i]: (1 << 64) - 1 for i in range(count) if place + 10 + 3 * i < len(data)}
    for header, _ in _scans(data):
        first, last, bits = header[-3], header[-2], header[-1] & 15
        if frame in (*BASELINE, 0xC9):
            first, last, bits = 0, 63, 0
        done = sum(1 << i for i in range(first, min(last, 63) + 1)) if not bits else 0
        for i in range(header[0]):
            component = header[1 + 2 * i]
            missing[component] = missing.get(component, 0) & ~done
    return not any(missing.values())


def _look_for_hole(data: bytes, frame: int, segments: list[tuple[int, int]], end: int) -> None:
    """Raises Unreadable for zeros in place of data, as broken downloads and memory cards leave them.

    In one of ten pictures libjpeg decodes them silently. Their meaning depends on the table. In a baseline scan they
    mean only the finest detail, if the first code stands for a coefficient. Otherwise, and in the first scan of a
    progressive picture, they mean that there is only the mean of a block, which is possible. In later scans of
    progressive pictures, which encode runs of such blocks, an encoder would never write them.
    """
    scans = list(_scans(data))
    for i, (header, start) in enumerate(scans):
        stop = scans[i + 1][1] if i + 1 < len(scans) else end
        if frame in BASELINE:
            checked = bool(_first_code(data, segments, 0x10 | header[2] & 15)) and not i
        else:
            checked = header[-3] > 0
        found = data.find(HOLE, start, stop) if checked else -1
        if found >= 0 and data[found:stop].strip(b"\0"):
            raise damaged(f"there are zeros in place of its data from byte {found}")


def _first_code(data: bytes, segments: list[tuple[int, int]], wanted: int) -> int | None:
    """The symbol of the first code of a Huffman table, which consists only of zeros."""
    first = None
    for kind, place in segments:
        at, stop = place + 4, place + _length(data, place)
        while kind == HUFFMAN and at + 17 < stop:
            if data[at] == wanted:
                first = data[at + 17]
            at += 17 + sum(data[at + 1 : at + 17])
    return first
