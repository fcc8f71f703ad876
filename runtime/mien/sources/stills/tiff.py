"""TIFF: which of its many variants the decoder reads correctly, changed so that it does."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

from mien.sources.stills.kinds import RAW
from mien.sources.stills.layout import CUT_OFF, Layout, Unreadable, damaged, unknown
from mien.sources.stills.packed import is_whole
from mien.sources.stills.tags import ORIENTATION, Directory, below, directories

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIPS, SAMPLES, STRIP_BYTES, PLANAR, TILES, TILE_BYTES, EXTRA, FORMAT = 273, 277, 279, 284, 324, 325, 338, 339
DNG = 50706
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
COLORS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, SEPARATED: 4, YCBCR: 3}
RAW_COLORS = (32803, 34892)
PLAIN, FAX, LZW, JPEG, DEFLATE, PACKED = 1, (2, 3, 4), 5, 7, (8, 32946), 32773
READ = {PLAIN, *FAX, LZW, JPEG, *DEFLATE, PACKED}
MULTIPLIED, STRAIGHT = 1, 2
DAMAGE = re.compile(r"(?:TIFF_Error (?!Unknown)|TIFF_Warning (?=.*(?:Discarding|Corrupt JPEG))(?:JPEGLib: )?)(.*)")


def tiff_layout(data: bytes) -> Layout:
    """The layout of a TIFF file. Raises Unreadable if it is cut off, damaged, camera raw, or decoded wrongly by
    OpenCV."""
    try:
        pages = list(directories(data))
        inner = [page for directory in pages for page in below(data, directory)]
    except (ValueError, struct.error) as error:
        raise Unreadable(CUT_OFF) from error
    if not pages:
        raise damaged("it contains no picture")
    first = pages[0]
    if any(not tag.values for tag in first.tags.values()):
        raise Unreadable(CUT_OFF)
    _refuse_raw(first, [*pages, *inner])
    _check_pixels(first, data)
    bits, photometric, samples = first.all(BITS) or (1,), first.get(PHOTOMETRIC, -1), first.get(SAMPLES, 1)
    colors = COLORS.get(photometric)
    if colors is None or first.get(COMPRESSION, PLAIN) not in READ:
        raise unknown(f"is a TIFF with compression {first.get(COMPRESSION, PLAIN)} and color space {photometric}")
    if first.all(FORMAT) and set(first.all(FORMAT)) != {1}:
        raise Unreadable(
            "is a TIFF with signed or float values, whose black and white are unknown; save it with 8 bits"
        )
    if (
        len(set(bits)) != 1
        or bits[0] not in (1, 8, 10, 12, 14, 16)
        or (bits[0] != 8 and photometric in (PALETTE, YCBCR))
    ):
        raise unknown(f"is a TIFF of {'/'.join(map(str, bits))} bits")
    if samples - colors not in (0, 1) or (samples != colors and photometric != RGB):
        raise unknown(f"is a TIFF with {samples} channels")
    if samples > 1 and first.get(PLANAR, 1) != 1 and bits[0] != 8:
        raise unknown(f"is a TIFF with separate channels of {bits[0]} bits")
    # OpenCV turns only some variants, inverts 8 bits but not 16, and multiplies colors by alpha only sometimes.
    data = _with_tag(data, first, ORIENTATION, 1)
    deep = photometric == WHITE_IS_ZERO and bits[0] > 8
    extra = first.get(EXTRA)
    if samples == 4 and photometric == RGB and EXTRA in first.tags:
        data = _with_tag(data, first, EXTRA, MULTIPLIED)
    orientation = first.get(ORIENTATION, 1)
    return Layout(
        data,
        (first.get(WIDTH), first.get(HEIGHT)),
        inverted=deep,
        alpha={STRAIGHT: "straight", MULTIPLIED: "multiplied"}.get(extra, "none"),  # type: ignore[arg-type]
        orientation=orientation if 1 <= orientation <= 8 else 1,
        pages=sum(not page.get(SUBFILE) & 5 for page in pages),  # neither smaller copies nor masks
    )


def check_log(words: str) -> None:
    """Raises Unreadable if libtiff complained about pixels: OpenCV returns the picture anyway, black where they are
    missing."""
    found = DAMAGE.search(words)
    if found:
        raise damaged(found[1])


def _refuse_raw(first: Directory, every: Sequence[Directory]) -> None:
    if DNG in first.tags or any(page.get(PHOTOMETRIC) in RAW_COLORS for page in every) or first.get(SUBFILE) & 1:
        raise Unreadable(f"is camera raw, of which only a thumbnail could be read; {RAW.remedy}")


def _check_pixels(page: Directory, data: bytes) -> None:
    """Raises Unreadable if the file ends before its pixels, or if their checksums are wrong."""
    if STRIPS not in page.tags and TILES not in page.tags:
        raise damaged("it does not say where its pixels are")
    limit = 16 * page.get(WIDTH) * page.get(HEIGHT) + (1 << 24)  # tiles may be larger than the picture
    for places, sizes in ((STRIPS, STRIP_BYTES), (TILES, TILE_BYTES)):
        for place, size in zip(page.all(places), page.all(sizes), strict=False):
            if place + size > len(data):
                raise Unreadable(CUT_OFF)
            if page.get(COMPRESSION) in DEFLATE and not is_whole([data[place : place + size]], limit):
                raise damaged(f"the pixels at byte {place} cannot be unpacked")


def _with_tag(data: bytes, page: Directory, number: int, value: int) -> bytes:
    """The file with another value for a 16-bit tag."""
    tag = page.tags.get(number)
    if tag is None or len(tag.values) != 1 or tag.values[0] == value:
        return data
    return data[: tag.place] + struct.pack(f"{page.order}H", value) + data[tag.place + 2 :]
