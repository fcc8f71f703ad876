"""HEIC, read by the optional pillow-heif: OpenCV cannot read it, and FFmpeg opens its first tile as a video."""

from __future__ import annotations

import importlib
import importlib.util
import io

import numpy as np

from mien.sources.stills.layout import Layout, Unreadable

MODULE = "pillow_heif"
INSTALL = 'pip install "mien[heif]", or convert it to JPEG'


def has_heif() -> bool:
    return importlib.util.find_spec(MODULE) is not None


def heic_pixels(data: bytes) -> tuple[np.ndarray, Layout]:
    """The first picture of a file, composed of its tiles, cropped and turned as it says: 8-bit BGR, or BGR and alpha.

    Raises Unreadable if pillow-heif is missing or cannot read it.
    """
    if not has_heif():
        raise Unreadable(f"is HEIC, which OpenCV cannot read: {INSTALL}")
    heif = importlib.import_module(MODULE)
    try:
        found = heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True, bgr_mode=True)
        image = np.array(found)
    except Exception as error:  # its errors have no common class
        raise Unreadable(f"is HEIC that cannot be read: {error}; convert it to JPEG") from error
    multiplied = image.ndim == 3 and image.shape[2] == 4 and getattr(found, "premultiplied_alpha", False)
    return image, Layout(data, alpha="multiplied" if multiplied else "straight", pages=len(found))
