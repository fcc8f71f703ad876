"""A picture file -> 8-bit BGR, whatever it holds, or an error that names the file and the remedy."""

from __future__ import annotations

import logging
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import cv2

from mien.errors import SourceError
from mien.sources.stills import kinds
from mien.sources.stills.bmp import bmp_layout
from mien.sources.stills.boxes import box_layout, moves
from mien.sources.stills.decoder import decode, to_bgr
from mien.sources.stills.heif import heic_pixels
from mien.sources.stills.jpeg import check_words, jpeg_layout
from mien.sources.stills.jpeg2000 import jpeg2000_layout
from mien.sources.stills.kinds import HEAD, Kind, still_kind
from mien.sources.stills.layout import Layout, Unreadable
from mien.sources.stills.motion import compose
from mien.sources.stills.png import png_layout
from mien.sources.stills.pnm import pnm_layout, pnm_pixels
from mien.sources.stills.tiff import check_log, tiff_layout
from mien.sources.stills.webp import webp_layout
from mien.types import Image

MAX_BYTES = 2**30
"""Bytes of a file."""
MAX_PIXELS = 2**28
"""Of a picture; a few bytes may promise one of gigabytes, and decoders would fill it with gray."""
MAX_ANIMATION_PIXELS = 2**25
"""Of an animation, whose frames are mixed as floats."""

log = logging.getLogger(__name__)


def read_image(path: Path) -> Image:
    """Decode a picture file -> uint8 BGR (H, W, 3), the first picture of several, which is warned of.

    Gray becomes three equal channels, alpha is laid over white, other bits than 8 are scaled to 8, and the picture is
    cut, turned and mirrored as the file says. Color profiles are not applied.

    Raises:
        SourceError: for what is missing, empty, cut off, damaged, no picture, or one that is not understood.
    """
    return decode_image(read_bytes(path), path)


def decode_image(data: bytes, path: Path) -> Image:
    """The same of a file that was read already; ``path`` is its name in messages."""
    try:
        return pixels(data, path)
    except Unreadable as reason:
        raise SourceError(f"{path} {reason}") from reason
    except (cv2.error, MemoryError) as error:  # OpenCV refuses more than 2**30 pixels
        raise SourceError(f"{path} cannot be decoded; if it is very large, make it smaller: {error}") from error


def read_bytes(path: Path) -> bytes:
    """A whole file of at most ``MAX_BYTES`` bytes. SourceError where that fails, or it is empty or no file."""
    try:
        found = path.stat()
        whole = S_ISREG(found.st_mode) and found.st_size <= MAX_BYTES
        data = path.read_bytes() if whole or S_ISDIR(found.st_mode) else None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error
    if data is None:  # a pipe or device might never end
        what = "larger than 1 GiB" if found.st_size > MAX_BYTES else "no file but a pipe or device"
        raise SourceError(f"{path} is {what}; give the file of one picture")
    if not data:
        raise SourceError(f"{path} is empty (0 bytes); copy or download it again")
    return data


def pixels(data: bytes, path: Path) -> Image:
    """The picture of a file that was read. Raises Unreadable."""
    kind = still_kind(data[:HEAD], path.suffix)
    if kind is kinds.HEIC:
        box_layout(data)  # refuses what libheif would not tell
        image, layout = heic_pixels(data)
        if moves(data) or layout.pages > 1:
            log.warning("%s holds several pictures; only the first was read", path)
        return to_bgr(image, layout)
    layout = layout_of(data, kind, path.suffix)
    if layout.pages > 1:
        log.warning("%s holds %d pages; only the first was read", path, layout.pages)
    elif kind is kinds.AVIF and moves(data):
        log.warning("%s holds several pictures; only the first was read", path)
    if layout.cells:
        log.warning("%s holds %d frames; only the first was read: give it by its own name", path, len(layout.cells))
        return next(compose(layout))
    if kind is kinds.PNM:
        return to_bgr(pnm_pixels(data), layout)
    found, words = decode(layout.data, plain=layout.plain, logged=kind is kinds.TIFF)
    if kind is kinds.JPEG:
        check_words(words, layout)
    elif kind is kinds.TIFF:
        check_log(words)
    if found is None:
        raise Unreadable(f"is not a picture that OpenCV {cv2.__version__} can read; save it as JPEG or PNG")
    return to_bgr(found, layout)


def layout_of(data: bytes, kind: Kind | None, suffix: str = "") -> Layout:
    """What a file says of its picture. Raises Unreadable for what is cut off, damaged, too large or not understood."""
    if kind is None:
        raise Unreadable(
            "is not a picture of a kind that is known here (a GIF or film is given by its name); save it as JPEG or PNG"
        )
    if kind.remedy:
        raise Unreadable(f"is a picture ({kind.name}) of a kind that is not read here; {kind.remedy}")
    if kind.sign and not kind.sign(data[:HEAD]):
        raise Unreadable(
            f"is not a picture of a kind that is known here, though it is called {suffix}; save it as JPEG or PNG"
        )
    layout = LAYOUTS[kind.name](data)
    most = MAX_ANIMATION_PIXELS if layout.cells else MAX_PIXELS
    if layout.size[0] * layout.size[1] > most:
        raise Unreadable(f"has more than {most // 10**6} megapixels; make it smaller")
    return layout


LAYOUTS = {
    "JPEG": jpeg_layout,
    "PNG": png_layout,
    "WebP": webp_layout,
    "AVIF": box_layout,
    "TIFF": tiff_layout,
    "BMP": bmp_layout,
    "JPEG 2000": jpeg2000_layout,
    "PNM": pnm_layout,
}
