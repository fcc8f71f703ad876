"""Pictures and clips of a face in many formats, and ways to spoil their bytes."""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from mien.sources.demo import demo_picture

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(0)

PICTURES = {
    ".jpg": [[cv2.IMWRITE_JPEG_QUALITY, 80], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]],
    ".png": [[], [cv2.IMWRITE_PNG_COMPRESSION, 9]],
    ".webp": [[cv2.IMWRITE_WEBP_QUALITY, 70], [cv2.IMWRITE_WEBP_QUALITY, 101]],
    ".bmp": [[]],
    ".tiff": [[cv2.IMWRITE_TIFF_COMPRESSION, kind] for kind in (1, 5, 8, 32773)],
    ".gif": [[]],
    ".jp2": [[]],
    ".avif": [[]],
    ".ppm": [[], [cv2.IMWRITE_PXM_BINARY, 0]],
    ".hdr": [[]],
}
CLIPS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "MJPG", ".webm": "VP80", ".mjpeg": "MJPG",
         ".ts": "mpg2", ".flv": "FLV1", ".wmv": "WMV2", ".3gp": "mp4v"}  # fmt: skip
SUFFIXES = (*PICTURES, *CLIPS, ".jpeg", ".jpe", ".pgm", ".txt", ".m3u8", ".JPG", "", ".", ".jpg.part", ".%03d.png")
WORDS = (0, 1, 2, 7, 255, 256, 32767, 65535, 65536, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 1)
BOXES = (b"moov", b"mdhd", b"mvhd", b"tkhd", b"stsd", b"stsz", b"stts", b"stsc", b"stco", b"stss", b"ctts", b"elst",
         b"mdat", b"idx1", b"avih", b"strf", b"strh", b"movi", b"IHDR", b"IDAT", b"VP8 ", b"ispe", b"iloc")  # fmt: skip


def write_base(folder: Path) -> None:
    """The astronaut's face, 96 x 96 px, in every picture format, and moving in every kind of clip, 12 frames each."""
    folder.mkdir()
    portrait = cv2.imread(str(demo_picture()))
    face = cv2.resize(portrait[0:256, 96:352], (96, 96), interpolation=cv2.INTER_AREA)
    alpha = np.dstack([face, np.linspace(0, 255, 96, dtype=np.uint8)[:, None].repeat(96, 1)])
    forms = {"bgr": face, "grey": face[..., 0], "alpha": alpha, "deep": face.astype(np.uint16) * 257}
    for suffix, ways in PICTURES.items():
        for name, image in forms.items():
            for i, way in enumerate(ways):
                pixels = image.astype(np.float32) / 255 if suffix == ".hdr" else image
                try:
                    cv2.imwrite(str(folder / f"{name}{i}{suffix}"), pixels, way)
                except cv2.error:  # a format without grey, alpha or 16 bits, or none that this OpenCV writes
                    (folder / f"{name}{i}{suffix}").unlink(missing_ok=True)
    for suffix, codec in CLIPS.items():
        _write_clip(folder / f"clip{suffix}", codec, face)
    for path in folder.iterdir():
        if not path.stat().st_size:
            path.unlink()


def _write_clip(path: Path, codec: str, face: np.ndarray) -> None:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 25, (128, 96))
    for i in range(12):
        image = np.full((96, 128, 3), 90, np.uint8)
        image[:, 2 * i : 2 * i + 96] = face
        writer.write(image)
    writer.release()


def read_base(folder: Path, suffixes: Mapping[str, object]) -> list[tuple[str, bytes]]:
    """Suffix and content of the files with one of ``suffixes``, in a fixed order."""
    return [(path.suffix, path.read_bytes()) for path in sorted(folder.iterdir()) if path.suffix in suffixes]


def spoil(data: bytes, draw: random.Random, others: list[tuple[str, bytes]]) -> bytes:
    """``data`` after one to four random changes; now and then as it was."""
    for _ in range(draw.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        change = draw.choice((_flip, _flip, _word, _word, _word, _zeros, _cut, _cut, _drop, _repeat, _shuffle, _noise))
        if draw.random() < 0.15:
            data = draw.choice((_announce, _announce, _tail, _join, _empty))(data, draw, others)
        elif data:
            data = change(bytearray(data), draw)
    return data


def _place(data: bytearray, draw: random.Random) -> int:
    """Half of the changes hit a header: the first bytes, or those behind the name of a box."""
    if draw.random() < 0.5:
        found = [place for box in BOXES if (place := data.find(box)) >= 0]
        start = draw.choice(found) if found and draw.random() < 0.6 else 0
        return min(len(data) - 1, start + draw.randrange(64))
    return draw.randrange(len(data))


def _flip(data: bytearray, draw: random.Random) -> bytes:
    for _ in range(draw.choice((1, 1, 4, 30))):
        data[_place(data, draw)] ^= 1 << draw.randrange(8)
    return bytes(data)


def _word(data: bytearray, draw: random.Random) -> bytes:
    place, value = _place(data, draw), draw.choice(WORDS)
    form = draw.choice((">I", "<I", ">H", "<H"))
    word = struct.pack(form, value % 2 ** (8 * struct.calcsize(form)))
    data[place : place + len(word)] = word
    return bytes(data)


def _range(data: bytearray, draw: random.Random) -> slice:
    place = _place(data, draw)
    return slice(place, place + draw.choice((1, 4, 16, 100, 1000, len(data))))


def _zeros(data: bytearray, draw: random.Random) -> bytes:
    where = _range(data, draw)
    data[where] = bytes(len(data[where]))
    return bytes(data)


def _noise(data: bytearray, draw: random.Random) -> bytes:
    where = _range(data, draw)
    data[where] = draw.randbytes(len(data[where]))
    return bytes(data)


def _drop(data: bytearray, draw: random.Random) -> bytes:
    del data[_range(data, draw)]
    return bytes(data)


def _repeat(data: bytearray, draw: random.Random) -> bytes:
    where = _range(data, draw)
    data[where] = data[where] * 2
    return bytes(data)


def _cut(data: bytearray, draw: random.Random) -> bytes:
    return bytes(data[: _place(data, draw)])


def _shuffle(data: bytearray, draw: random.Random) -> bytes:
    size, keep = draw.choice((64, 512, 4096)), draw.choice((0, 0, 64, 1024))
    blocks = [data[i : i + size] for i in range(keep, len(data), size)]
    draw.shuffle(blocks)
    return bytes(data[:keep]) + b"".join(blocks)


def _tail(data: bytes, draw: random.Random, _: list[tuple[str, bytes]]) -> bytes:
    return data + draw.choice((bytes(1000), draw.randbytes(1000), b"\xff\xd9", b"IEND"))


def _join(data: bytes, draw: random.Random, others: list[tuple[str, bytes]]) -> bytes:
    other = draw.choice(others)[1]
    return draw.choice((data + data, data + other, other + data, data[:100] + other, data[: len(data) // 2] + other))


def _empty(data: bytes, draw: random.Random, _: list[tuple[str, bytes]]) -> bytes:
    return draw.choice((b"", data[:1], data[:16], bytes(len(data)), b"hello\n"))


def _announce(data: bytes, draw: random.Random, _: list[tuple[str, bytes]]) -> bytes:
    """Another size of the picture in its header, with a checksum that fits."""
    sizes = (0, 1, 3, 1000, 20_000, 32_767, 65_535, 65_500, 2**20, 2**31 - 1)
    width, height = (draw.choice(sizes) for _ in "wh")
    if data.startswith(b"\x89PNG") and len(data) > 33:
        head = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    if data.startswith(b"\xff\xd8"):
        marks = [place for mark in (b"\xff\xc0", b"\xff\xc2") if (place := data.find(mark)) > 0]
        place = marks[0] + 5 if marks else 2
        return data[:place] + struct.pack(">HH", height % 65536, width % 65536) + data[place + 4 :]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<ii", width, draw.choice((height, -height))) + data[26:]
    if data.startswith(b"GIF"):
        return data[:6] + struct.pack("<HH", width % 65536, height % 65536) + data[10:]
    if data.startswith((b"P5", b"P6")):
        return data[:2] + f"\n{width} {height}\n255\n".encode() + data[15:]
    if (place := data.find(b"ispe")) > 0:
        return data[: place + 8] + struct.pack(">II", width, height) + data[place + 16 :]
    if data.startswith((b"II*\0", b"MM\0*")):
        form, swap = ("<", b"\0\1") if data[0] == 73 else (">", b"\1\0")
        place = data.find(swap[::-1] if data[0] == 73 else b"\1\0")
        return data[: place + 8] + struct.pack(f"{form}I", width) + data[place + 12 :]
    return data
