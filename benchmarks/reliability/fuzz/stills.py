"""Stills of every format, mode and orientation, whole and damaged, beside what Pillow reads."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from benchmarks.reliability.fuzz.reference import check_source, still
from benchmarks.reliability.fuzz.spoil import spoil

Form = tuple[str, tuple[str, ...], tuple[dict[str, Any], ...]]

TURNED: dict[str, Form] = {
    ".jpg": ("JPEG", ("RGB", "L", "CMYK"), ({"quality": 90}, {"quality": 85, "progressive": True})),
    ".png": ("PNG", ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"), ({},)),
    ".webp": ("WEBP", ("RGB", "RGBA"), ({"quality": 90, "method": 0}, {"lossless": True, "method": 0})),
    ".tiff": (
        "TIFF",
        ("RGB", "RGBA", "L", "LA", "CMYK", "P", "1", "I;16"),
        tuple({"compression": kind} for kind in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")),
    ),
    ".avif": ("AVIF", ("RGB", "RGBA"), ({"speed": 10, "quality": 90, "max_threads": 1},)),
    ".heic": ("HEIF", ("RGB", "RGBA", "L"), ({"quality": 90},)),
}
"""Suffix -> Pillow's name of the format, modes, ways to save. These may say how they lie."""
UPRIGHT: dict[str, Form] = {
    ".bmp": ("BMP", ("RGB", "RGBA", "L", "P", "1"), ({},)),
    ".ppm": ("PPM", ("RGB", "L", "1", "I;16"), ({},)),
    ".jp2": ("JPEG2000", ("RGB", "RGBA", "L", "LA", "I;16"), ({},)),
    ".gif": ("GIF", ("P", "L"), ({},)),
    ".ico": ("ICO", ("RGBA",), ({},)),
    ".tga": ("TGA", ("RGB", "RGBA", "L"), ({}, {"compression": "tga_rle"})),
    ".pcx": ("PCX", ("RGB", "L"), ({},)),
    ".sgi": ("SGI", ("RGB", "L"), ({},)),
    ".dds": ("DDS", ("RGB", "RGBA"), ({},)),
}
MOVING = (".png", ".webp", ".gif", ".avif")
ORIENTATION = 0x0112
SIZES = ((96, 96), (80, 96), (96, 80), (97, 61), (33, 96))


def call(face: np.ndarray, folder: Path, draw: random.Random) -> tuple[str, Callable[[], bool]]:
    """A file in ``folder``, in words, and what reads and compares it. ``face``: BGR, 96 x 96 px."""
    turned = draw.random() < 0.75
    suffix = draw.choice([name for name in (TURNED if turned else UPRIGHT) if _is_written(name)])
    name, modes, ways = (TURNED if turned else UPRIGHT)[suffix]
    mode, way = draw.choice(modes), draw.choice(ways)
    frames = draw.choice((2, 4)) if suffix in MOVING and draw.random() < 0.12 else 1
    orientation = draw.randrange(9) if turned and frames == 1 else 0
    data = _save(_picture(face, mode, draw), name, way, orientation, frames)
    damaged = draw.random() < 0.3
    if damaged:
        data = spoil(data, draw, [(suffix, data)])
    elif suffix in (".avif", ".heic"):
        data = _turn_box(data, draw)
    if draw.random() < 0.1:
        suffix = draw.choice((".jpg", ".png", ".tif", ".mp4", ".dat", suffix.upper()))
    path = folder / f"in{suffix}"
    path.write_bytes(data)
    words = f"{name} of {frames}, {mode}, orientation {orientation}, {way}{', damaged' * damaged}, as {path.name}"
    return words, lambda: check_source(path, still(data))


def _is_written(suffix: str) -> bool:
    Image.init()
    if suffix == ".avif":
        return bool(features.check("avif"))
    return (TURNED | UPRIGHT)[suffix][0] in Image.SAVE


def _picture(face: np.ndarray, mode: str, draw: random.Random) -> Image.Image:
    width, height = draw.choice(SIZES)
    picture = Image.fromarray(np.ascontiguousarray(face[:height, :width, ::-1])).resize((width, height))
    if mode == "I;16":
        return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    if mode in ("RGBA", "LA"):
        slope = np.linspace(0, 255, height).astype(np.uint8)[:, None].repeat(width, 1)
        picture.putalpha(Image.fromarray(slope))
    return picture.convert(mode)


def _save(picture: Image.Image, name: str, way: dict[str, Any], orientation: int, frames: int) -> bytes:
    options = dict(way)
    if orientation:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options |= {"tiffinfo": {ORIENTATION: orientation}} if name == "TIFF" else {"exif": exif.tobytes()}
    if frames > 1:
        width = picture.width
        others = [picture.transform(picture.size, Image.Transform.AFFINE, (1, 0, 9 * i % width, 0, 1, 0)) for i in
                  range(1, frames)]  # fmt: skip
        options |= {"save_all": True, "append_images": others, "duration": 80}
    if name == "ICO":
        options["sizes"] = [picture.size]
    file = io.BytesIO()
    picture.save(file, name, **options)
    return file.getvalue()


def _turn_box(data: bytes, draw: random.Random) -> bytes:
    """Another turn or mirror of AVIF and HEIC, where there is one."""
    changed = bytearray(data)
    for box, values in ((b"irot", 4), (b"imir", 2)):
        place = data.find(box)
        if place > 0:
            changed[place + 4] = draw.randrange(values)
    return bytes(changed)
