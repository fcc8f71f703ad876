"""Still pictures of many kinds, and how each is to be seen by Pillow; for tests and for the fuzzer.

python tests/helpers/still_files.py FOLDER    # writes them, and NAME.png beside each
"""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps, features

HAS_AVIF = bool(features.check("avif")) and cv2.haveImageWriter("a.avif")
TURNS = range(1, 9)


@dataclass(frozen=True)
class StillFile:
    """``seen``: uint8 BGR (H, W, 3), upright, alpha over white. ``tolerance``: mean difference that coding may make."""

    name: str
    data: bytes
    seen: np.ndarray
    tolerance: float = 3.0


def still_files(picture: np.ndarray) -> Iterator[StillFile]:
    """Files of ``picture``, uint8 BGR, that are to be read as they are to be seen."""
    color = Image.fromarray(np.ascontiguousarray(picture[..., ::-1]))
    ramp = np.linspace(30, 255, color.width).astype(np.uint8)
    alpha = Image.fromarray(np.tile(ramp, (color.height, 1)))
    see_through, gray = color.copy(), color.convert("L")
    see_through.putalpha(alpha)
    modes = {"rgb": color, "rgba": see_through, "gray": gray, "la": Image.merge("LA", (gray, alpha))}
    modes |= {"palette": color.quantize(128), "one": color.convert("1")}
    yield from _turned(modes)
    yield from _deep(picture)
    yield from _tiff(np.asarray(see_through))
    yield from _pnm(np.asarray(color), np.asarray(see_through))
    for mode in ("CMYK", "L", "RGB"):
        yield _made(f"{mode}.jpg", color.convert(mode), "JPEG", quality=95)
    yield _made("progressive.jpg", color, "JPEG", quality=95, progressive=True)
    for name in ("rgb", "rgba", "gray", "palette", "one"):
        yield _made(f"{name}.bmp", modes[name], "BMP")
    rows = b"".join(row.tobytes() + bytes(-row.nbytes % 4) for row in picture[::-1])
    head = struct.pack("<2sIIIIHHHH", b"BM", 26 + len(rows), 0, 26, 12, color.width, color.height, 1, 24)
    yield StillFile("os2.bmp", head + rows, picture)
    yield from _clear_grey(gray)
    if features.check("jpg_2000"):
        for name in ("rgb", "rgba", "gray"):
            yield _made(f"{name}.jp2", modes[name], "JPEG2000")


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def seen(data: bytes) -> np.ndarray:
    """How Pillow sees a file."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode in ("RGBA", "LA", "PA", "P"):
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x112] = orientation
    return tags.tobytes()


def _made(name: str, image: Image.Image, kind: str, **options: Any) -> StillFile:
    data = encode(image, kind, **options)
    return StillFile(name, data, seen(data))


def _turned(modes: dict[str, Image.Image]) -> Iterator[StillFile]:
    for turn in TURNS:
        for name, image in modes.items():
            yield _made(f"{name}-{turn}.png", image, "PNG", exif=exif(turn))
            if name != "la":
                yield _made(f"{name}-{turn}.tif", image, "TIFF", tiffinfo={0x112: turn}, compression="tiff_lzw")
        for name in ("rgb", "rgba"):
            yield _made(f"{name}-{turn}.webp", modes[name], "WEBP", quality=95, exif=exif(turn))
            if HAS_AVIF:
                yield _made(f"{name}-{turn}.avif", modes[name], "AVIF", quality=95, exif=exif(turn))
        yield _made(f"rgb-{turn}.jpg", modes["rgb"], "JPEG", quality=95, exif=exif(turn))


def _clear_grey(gray: Image.Image) -> Iterator[StillFile]:
    """PNG in which one tone of gray is transparent."""
    pixels = np.array(gray)
    pixels[:9] = 7
    over = np.where(pixels == 7, 255, pixels).astype(np.uint8)
    data = encode(Image.fromarray(pixels), "PNG", transparency=7)
    yield StillFile("clear.png", data, np.dstack([over] * 3))


def _deep(picture: np.ndarray) -> Iterator[StillFile]:
    deep = picture.astype(np.uint16) * 257
    for suffix in (".png", ".tiff", ".jp2"):
        yield StillFile(f"deep{suffix}", cv2.imencode(suffix, deep)[1].tobytes(), picture)
    if HAS_AVIF:
        for bits in (10, 12):
            way = [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 95]
            yield StillFile(f"{bits}.avif", cv2.imencode(".avif", deep >> (16 - bits), way)[1].tobytes(), picture)


def tiff(
    values: np.ndarray, photometric: int, *, extra: int | None = None, turn: int = 1, more: dict[int, int] | None = None
) -> bytes:
    """A TIFF file of one strip, uncompressed, of (H, W) or (H, W, C) values."""
    height, width = values.shape[:2]
    samples = values.shape[2] if values.ndim == 3 else 1
    tags = {256: width, 257: height, 258: values.itemsize * 8, 259: 1, 262: photometric, 274: turn, 277: samples}
    tags |= {278: height, 279: values.nbytes} | ({338: extra} if extra is not None else {}) | (more or {})
    start = 8 + 2 + 12 * (len(tags) + 1) + 4 + 2 * samples
    tags[273] = start
    entries = b""
    for number in sorted(tags):
        if number == 258 and samples > 2:
            entries += struct.pack("<HHII", number, 3, samples, start - 2 * samples)
        elif number == 258:
            entries += struct.pack("<HHI2H", number, 3, samples, tags[number], tags[number])
        else:
            wide = number in (256, 257, 273, 278, 279)
            entries += struct.pack("<HHII" if wide else "<HHIHxx", number, 4 if wide else 3, 1, tags[number])
    depth = struct.pack(f"<{samples}H", *[values.itemsize * 8] * samples)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + depth + values.tobytes()


def _tiff(pixels: np.ndarray) -> Iterator[StillFile]:
    """``pixels``: RGBA. Alpha of each kind, in 8 and 16 bits; gray in which 0 is white."""
    cover = pixels[..., 3:].astype(np.float64) / 255
    over = (pixels[..., :3] * cover + 255 * (1 - cover)).round().astype(np.uint8)[..., ::-1]
    multiplied = np.concatenate([(pixels[..., :3] * cover).round().astype(np.uint8), pixels[..., 3:]], axis=2)
    gray = np.ascontiguousarray(pixels[..., 1])
    for bits, scale, form in ((8, 1, np.uint8), (16, 257, np.uint16)):
        yield StillFile(f"straight{bits}.tif", tiff(pixels.astype(form) * form(scale), 2, extra=2), over)
        yield StillFile(f"multiplied{bits}.tif", tiff(multiplied.astype(form) * form(scale), 2, extra=1), over)
        yield StillFile(f"fourth{bits}.tif", tiff(pixels.astype(form) * form(scale), 2, extra=0), pixels[..., 2::-1])
        white = np.dstack([gray] * 3)
        yield StillFile(f"white-is-0-{bits}.tif", tiff((255 - gray).astype(form) * form(scale), 0), white)


def _pnm(pixels: np.ndarray, see_through: np.ndarray) -> Iterator[StillFile]:
    """RGB and RGBA pixels, with several values of white."""
    height, width = pixels.shape[:2]
    for white in (100, 255, 1023, 65535):
        form = ">u2" if white > 255 else "u1"
        values = (pixels.astype(np.float64) * white / 255).round().astype(form)
        head = f"# made\n{width} {height}\n{white}\n".encode()
        yield StillFile(f"{white}.ppm", b"P6\n" + head + values.tobytes(), pixels[..., ::-1])
        text = b" ".join(b"%d" % value for value in values.ravel())
        yield StillFile(f"{white}t.ppm", b"P3\n" + head + text, pixels[..., ::-1])
        gray = np.dstack([pixels[..., 1]] * 3)
        yield StillFile(f"{white}.pgm", b"P5\n" + head + values[..., 1].tobytes(), gray)
    head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n".encode()
    cover = see_through[..., 3:].astype(np.float64) / 255
    over = (see_through[..., :3] * cover + 255 * (1 - cover)).round().astype(np.uint8)[..., ::-1]
    yield StillFile("rgba.pam", head + see_through.tobytes(), over)
    bits = pixels[..., 1] < 128
    dark = np.where(bits, 0, 255).astype(np.uint8)
    packed = np.packbits(bits, axis=1).tobytes()
    yield StillFile("packed.pbm", f"P4\n{width} {height}\n".encode() + packed, np.dstack([dark] * 3))


def main() -> None:
    from mien.sources.demo import demo_picture

    folder = Path(sys.argv[1])
    picture = cv2.imread(str(demo_picture()))
    assert picture is not None
    for file in still_files(cv2.resize(picture[20:220, 120:330], (126, 120), interpolation=cv2.INTER_AREA)):
        (folder / file.name).write_bytes(file.data)
        cv2.imwrite(str(folder / f"{file.name}.png"), file.seen)


if __name__ == "__main__":
    main()
