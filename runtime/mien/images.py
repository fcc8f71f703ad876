"""A picture file -> 8-bit BGR, whatever it holds, or an error that names the file and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import cv2
import numpy as np

from mien.errors import SourceError
from mien.faces import Image

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jp2", ".png", ".bmp", ".webp", ".avif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
"""What counts as a picture in a folder."""
LARGEST = 2**30
"""Bytes of a file."""
MOST_PIXELS = 2**28
"""Of a JPEG or PNG; they take up to 2 GB while they are decoded."""

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
EXIF_TAGS = (b"Exif\0\0", b"eXIf", b"EXIF")


def read_image(path: Path) -> Image:
    """Decode a picture file -> uint8 BGR (H, W, 3).

    Grey becomes three equal channels, alpha is laid over white, 16 bits are scaled (65535 becomes 255) and the EXIF
    orientation is applied. Raises SourceError for what is missing, empty, cut off or no picture.
    """
    try:
        found = path.stat()
        whole = S_ISREG(found.st_mode) and found.st_size <= LARGEST
        data = path.read_bytes() if whole or S_ISDIR(found.st_mode) else None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error
    if data is None:  # a pipe or device might never end
        what = "larger than 1 GiB" if found.st_size > LARGEST else "no file but a pipe or device"
        raise SourceError(f"{path} is {what}; give the file of one picture")
    if not data:
        raise SourceError(f"{path} is empty (0 bytes); copy or download it again")
    if cut_off(data):
        raise SourceError(f"{path} is cut off: the end of the picture is missing; copy or download it again")
    if announced(data) > MOST_PIXELS:
        raise SourceError(f"{path} has more than {MOST_PIXELS // 10**6} megapixels; make it smaller")
    try:
        return _to_bgr(_decode(data), path)
    except (cv2.error, MemoryError) as error:  # OpenCV refuses more than 2**30 pixels
        raise SourceError(f"{path} cannot be decoded; if it is very large, make it smaller: {error}") from error


def cut_off(data: bytes) -> bool:
    """Whether a JPEG or PNG misses its end. Decoders of other formats notice it, but these fill up with grey."""
    if data.startswith(PNG):
        return b"IEND" not in data
    if not data.startswith(JPEG):
        return False
    scans = [place for kind, place in _segments(data) if kind == 0xDA]
    return not scans or data.find(b"\xff\xd9", scans[0]) < 0


def announced(data: bytes) -> int:
    """Pixels that the header of a JPEG or PNG promises, 0 where it is another format. A few bytes may promise a picture
    of gigabytes, and these decoders would fill it with grey."""
    sizes = [(0, 0)]
    if data.startswith(PNG):
        sizes.append((int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")))
    elif data.startswith(JPEG):
        for kind, place in _segments(data):
            if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
                height, width = data[place + 5 : place + 7], data[place + 7 : place + 9]
                sizes.append((int.from_bytes(width, "big"), int.from_bytes(height, "big")))
    return max(width * height for width, height in sizes)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Kind and place of the segments of a JPEG, up to its first scan: as libjpeg finds them, over rubbish between."""
    place = 2
    while 0 <= (place := data.find(b"\xff", place)) <= len(data) - 4:
        kind = data[place + 1]
        if kind in (0x00, 0xFF) or 0xD0 <= kind <= 0xD8:
            place += 1
            continue
        yield kind, place
        if kind == 0xDA:
            return
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def _decode(data: bytes) -> np.ndarray | None:
    """Pixels as they are stored, turned upright. OpenCV gives either the alpha channel or the orientation."""
    buffer = np.frombuffer(data, dtype=np.uint8)
    oriented = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
    if data.startswith(JPEG):
        return cv2.imdecode(buffer, oriented)
    image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    if image is not None and image.shape[2:] != (4,) and any(tag in data for tag in EXIF_TAGS):
        return cv2.imdecode(buffer, oriented)
    return image


def _to_bgr(image: np.ndarray | None, path: Path) -> Image:
    if image is None:
        raise SourceError(f"{path} is not a picture that OpenCV {cv2.__version__} can read; save it as JPEG or PNG")
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    if image.dtype != np.uint8:
        raise SourceError(f"{path} holds {image.dtype} values; save it with 8 or 16 bits a channel")
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    elif image.shape[2] == 4:
        alpha = cv2.cvtColor(image[..., 3], cv2.COLOR_GRAY2BGR)
        image = 255 - cv2.multiply(255 - image[..., :3], alpha, scale=1 / 255)
    return np.ascontiguousarray(image, dtype=np.uint8)
