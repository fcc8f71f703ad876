"""A picture file -> 8-bit BGR, whatever it holds, or an error that names the file and the remedy."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mien.errors import SourceError
from mien.faces import Image

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jp2", ".png", ".bmp", ".webp", ".avif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
"""What counts as a picture in a folder."""

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
EXIF_TAGS = (b"Exif\0\0", b"eXIf", b"EXIF")


def read_image(path: Path) -> Image:
    """Decode a picture file -> uint8 BGR (H, W, 3).

    Grey becomes three equal channels, alpha is laid over white, 16 bits are scaled (65535 becomes 255) and the EXIF
    orientation is applied. Raises SourceError for what is missing, empty, cut off or no picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error
    if not data:
        raise SourceError(f"{path} is empty (0 bytes); copy or download it again")
    if cut_off(data):
        raise SourceError(f"{path} is cut off: the end of the picture is missing; copy or download it again")
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
    # Walk over the header's segments, which may hold a whole thumbnail, to the start of the scan.
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xDA:
            return data.find(b"\xff\xd9", at) < 0
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at + 4 > len(data)


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
