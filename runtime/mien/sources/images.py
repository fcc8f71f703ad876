"""Reads a picture file of any format as 8-bit BGR, or raises an error that names the file and the remedy."""

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
"""Of a file."""
MAX_PIXELS = 2**28
"""Of a picture: a file of few bytes may claim gigabytes of pixels, which decoders would fill with gray."""
MAX_ANIMATION_PIXELS = 2**25
"""Of an animation, whose frames are blended as floats."""

log = logging.getLogger(__name__)


def read_image(path: Path) -> Image:
    """Read a picture file as uint8 BGR (H, W, 3). If it holds several pictures, the first is read, with a warning.

    Gray becomes three equal channels, transparent parts become white, other bit depths are scaled to 8, and the picture
    is cropped, turned and mirrored as the file says. Color profiles are not applied.

    Raises:
        SourceError: The file is missing, empty, cut off, damaged, not a picture, or not supported.
    """
    return decode_image(read_bytes(path), path)


def decode_image(data: bytes, path: Path) -> Image:
    """Like ``read_image`` for a file that was read already; ``path`` is its name in messages."""
    try:
        return pixels(data, path)
    except Unreadable as reason:
        raise SourceError(f"{path} {reason}") from reason
    except (cv2.error, MemoryError) as error:  # OpenCV refuses more than 2**30 pixels
        raise SourceError(f"{path} cannot be decoded; if it is very large, make it smaller: {error}") from error


def read_bytes(path: Path) -> bytes:
    """A whole file of at most ``MAX_BYTES`` bytes. SourceError if that fails, or if it is empty or not a file."""
    try:
        found = path.stat()
        whole = S_ISREG(found.st_mode) and found.st_size <= MAX_BYTES
        data = path.read_bytes() if whole or S_ISDIR(found.st_mode) else None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error
    if data is None:  # a pipe or device might never end
        what = "larger than 1 GiB" if found.st_size > MAX_BYTES else "a pipe or device, not a file"
        raise SourceError(f"{path} is {what}; give the file of one picture")
    if not data:
        raise SourceError(f"{path} is empty (0 bytes); copy or download it again")
    return data


def pixels(data: bytes, path: Path) -> Image:
    """The picture in the content of a file. Raises Unreadable."""
    kind = still_kind(data[:HEAD], path.suffix)
    if kind is kinds.HEIC:
        box_layout(data)  # rejects what libheif would not report
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
        log.warning(
            "%s holds %d frames, of which only the first was read; open it by its name to read all",
            path,
            len(layout.cells),
        )
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
    """What a file says about its picture. Raises Unreadable if it is cut off, damaged, too large or not supported."""
    if kind is None:
        raise Unreadable(
            "is not a picture in a supported format (open a GIF or video by its name); save it as JPEG or PNG"
        )
    if kind.remedy:
        raise Unreadable(f"is a picture in a format that is not supported ({kind.name}); {kind.remedy}")
    if kind.sign and not kind.sign(data[:HEAD]):
        raise Unreadable(
            f"is not a picture in a supported format, although its name ends in {suffix}; save it as JPEG or PNG"
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
