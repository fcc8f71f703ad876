"""Every still format that is accepted is read as it is to be seen; what is not understood is refused."""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import SourceError
from mien.sources.factory import open_source
from mien.sources.images import read_image
from mien.sources.stills.kinds import KINDS, still_kind
from mien.types import Image

PIL = pytest.importorskip("PIL.Image")
still_files = importlib.import_module("still_files")
HEIF = importlib.util.find_spec("pillow_heif") is not None


@pytest.fixture(scope="module")
def face(portrait: Image) -> Image:
    """Not square, and unlike itself however it is turned."""
    return np.asarray(cv2.resize(portrait[20:220, 120:330], (63, 60), interpolation=cv2.INTER_AREA), dtype=np.uint8)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def refused(path: Path, why: str) -> None:
    with pytest.raises(SourceError, match=why) as caught:
        open_source(path)
    assert str(path) in str(caught.value)


def test_every_kind_is_read_as_pillow_sees_it(face: Image, write: Callable[[str, bytes], Path]) -> None:
    wrong = []
    for file in still_files.still_files(face):
        image = read_image(write(file.name, file.data))
        difference = np.inf
        if image.shape == file.seen.shape:
            difference = float(np.abs(image.astype(int) - file.seen).mean())
        if difference > file.tolerance:
            wrong.append((file.name, image.shape, difference))
    assert not wrong


def test_orientation_in_xmp_and_in_imagemagicks_profile(face: Image, write: Callable[[str, bytes], Path]) -> None:
    data = cv2.imencode(".png", face)[1].tobytes()

    def with_chunk(kind: bytes, body: bytes) -> bytes:
        chunk = len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        return data[:33] + chunk + data[33:]

    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<rdf:Description tiff:Orientation="6"/>'
    profile = b"\nexif\n      34\n" + still_files.exif(6).hex().encode()
    for changed in (
        with_chunk(b"iTXt", xmp),
        with_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
    ):
        assert np.array_equal(read_image(write("a.png", changed)), cv2.rotate(face, cv2.ROTATE_90_CLOCKWISE))


def test_orientation_in_the_boxes_of_jpeg_2000(face: Image, write: Callable[[str, bytes], Path]) -> None:
    data = cv2.imencode(".jp2", face)[1].tobytes()
    xmp = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<tiff:Orientation>6</tiff:Orientation>"
    for body in (b"JpgTiffExif->JP2" + still_files.exif(6).removeprefix(b"Exif\0\0"), xmp):
        box = struct.pack(">I4s", 8 + len(body), b"uuid") + body
        start = data.index(b"jp2c") - 4
        image = read_image(write("a.jp2", data[:start] + box + data[start:]))
        assert np.array_equal(image, cv2.rotate(read_image(write("b.jp2", data)), cv2.ROTATE_90_CLOCKWISE))


@pytest.mark.skipif(not still_files.HAS_AVIF, reason="this OpenCV or Pillow has no AVIF")
def test_avif_is_cut_as_it_says_and_refused_where_pixels_are_not_square(
    face: Image, write: Callable[[str, bytes], Path]
) -> None:
    plain = cv2.imencode(".avif", face, [cv2.IMWRITE_AVIF_QUALITY, 100])[1].tobytes()
    width, height = 40, 30
    across, down = (4, 2), (-5, 1)
    clap = struct.pack(">8I", width, 1, height, 1, *[number % 2**32 for number in (*across, *down)])
    image = read_image(write("a.avif", with_property(plain, b"clap", clap)))
    left, top = round((63 - width) / 2 + 2 + 0.01), (60 - height) // 2 - 5
    assert image.shape == (height, width, 3)
    assert np.abs(image.astype(int) - face[top : top + height, left : left + width]).mean() < 3
    refused(write("b.avif", with_property(plain, b"pasp", struct.pack(">II", 16, 15))), "not square")


def with_property(data: bytes, kind: bytes, body: bytes) -> bytes:
    """An AVIF whose item has one more property; pixels that are found by their distance from the start move along."""
    made = struct.pack(">I", 8 + len(body)) + kind + body
    at = data.index(b"ipco") - 4
    count = data[data.index(b"ipma") + 4 + 4 + 4 + 2]
    known, place = 0, at + 8
    while place < at + int.from_bytes(data[at : at + 4], "big"):
        known, place = known + 1, place + int.from_bytes(data[place : place + 4], "big")
    moved = len(made) + 1
    parts = bytearray(data)
    ipma = data.index(b"ipma") + 14
    parts[ipma : ipma + 1] = bytes([count + 1])
    parts[ipma + 1 + count : ipma + 1 + count] = bytes([known + 1 | 0x80 * (kind == b"clap")])
    for name, more in ((b"ipma", 1), (b"ipco", len(made)), (b"iprp", moved), (b"meta", moved)):
        start = data.index(name) - 4
        parts[start : start + 4] = struct.pack(">I", int.from_bytes(data[start : start + 4], "big") + more)
    end = at + int.from_bytes(data[at : at + 4], "big")
    parts[end:end] = made
    iloc = parts.index(b"iloc")
    offset = data.index(b"mdat") + 4
    for place in range(iloc, iloc + 60):
        if int.from_bytes(parts[place : place + 4], "big") == offset:
            parts[place : place + 4] = struct.pack(">I", offset + moved)
            return bytes(parts)
    raise AssertionError("no place of the pixels")


SIGNS = {
    ".jxl": b"\xff\x0a\xff\x07\x08\x83\x04\x0c\0\x4b\x20\x18", ".psd": b"8BPS\0\1", ".svg": b"<svg>",
    ".ico": b"\0\0\1\0\1\0", ".pdf": b"%PDF-1.7", ".cr2": b"II*\0\x10\0\0\0CR\2\0", ".raf": b"FUJIFILMCCD-RAW 0201",
    ".cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", ".dds": b"DDS |\0\0\0", ".qoi": b"qoif", ".dpx": b"SDPX",
    ".exr": b"\x76\x2f\x31\x01", ".hdr": b"#?RADIANCE\n", ".fits": b"SIMPLE  =", ".xpm": b"/* XPM */",
    ".tga": b"\0\0\2\0", ".pcx": b"\x0a\5\1\x08", ".sgi": b"\x01\xda\1\1", ".ras": b"\x59\xa6\x6a\x95",
    ".pfm": b"PF\n8 8\n-1.0\n", ".eps": b"%!PS-Adobe-3.0", ".jls": b"\xff\xd8\xff\xf7", ".dcm": bytes(128) + b"DICM",
}  # fmt: skip


@pytest.mark.parametrize("suffix", SIGNS)
def test_stills_that_are_not_read_are_refused_by_name_and_by_content(
    suffix: str, write: Callable[[str, bytes], Path]
) -> None:
    """None of them reaches FFmpeg, which would show some of them as films of one frame."""
    data = SIGNS[suffix] + bytes(5000)
    named = still_kind(data, suffix)
    assert named is not None
    assert named.remedy
    refused(write(f"a{suffix}", data), "not supported.*(convert|export|draw|develop|save)")
    if suffix != ".tga":
        refused(write("a.mp4", data), "not supported")


def test_no_two_kinds_share_a_suffix() -> None:
    suffixes = [suffix for kind in KINDS for suffix in kind.suffixes]
    assert len(suffixes) == len(set(suffixes))


def test_raw_that_is_tiff_is_refused(face: Image, write: Callable[[str, bytes], Path]) -> None:
    gray = np.ascontiguousarray(face[..., 1])
    for more in ({50706: 1}, {254: 1}):
        refused(write("a.tif", still_files.tiff(gray, 1, more=more)), "camera raw")
    refused(write("a.dng", still_files.tiff(gray, 32803)), "camera raw")


@pytest.mark.parametrize(
    ("values", "photometric", "why"),
    [
        (np.zeros((9, 9), np.float32), 1, "32 bits"),
        (np.zeros((9, 9, 2), np.uint8), 1, "2 channels"),
        (np.zeros((9, 9, 5), np.uint8), 2, "5 channels"),
        (np.zeros((9, 9, 3), np.uint8), 8, "color space 8"),
    ],
)
def test_kinds_of_tiff_that_opencv_gets_wrong_are_refused(
    values: np.ndarray, photometric: int, why: str, write: Callable[[str, bytes], Path]
) -> None:
    refused(write("a.tif", still_files.tiff(values, photometric)), why)


def test_of_many_pages_the_first_is_read_and_said(
    face: Image, write: Callable[[str, bytes], Path], caplog: pytest.LogCaptureFixture
) -> None:
    first = PIL.fromarray(np.ascontiguousarray(face[..., ::-1]))
    data = still_files.encode(first, "TIFF", save_all=True, append_images=[first.rotate(180)] * 2)
    assert np.array_equal(read_image(write("a.tif", data)), face)
    assert "3 pages; only the first was read" in caplog.text


@pytest.mark.skipif(not HEIF, reason="needs pillow-heif")
def test_heic_of_tiles_is_read_whole_and_turned(portrait: Image, write: Callable[[str, bytes], Path]) -> None:
    import pillow_heif

    buffer = io.BytesIO()
    large = cv2.resize(portrait, (320, 240))
    try:
        pillow_heif.from_pillow(PIL.fromarray(large[..., ::-1].copy())).save(buffer, quality=95)
    except Exception as error:
        pytest.skip(f"pillow-heif cannot encode: {error}")
    for name in ("a.heic", "a.mp4"):
        image = read_image(write(name, buffer.getvalue()))
        assert image.shape == large.shape
        assert np.abs(image.astype(int) - large).mean() < 4


def test_heic_is_refused_with_the_remedy_where_nothing_reads_it(
    write: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, face: Image
) -> None:
    monkeypatch.setattr("mien.sources.stills.heif.has_heif", lambda: False)
    monkeypatch.setattr("mien.sources.folders.has_heif", lambda: False)
    meta = struct.pack(">I4sI", 12, b"meta", 0)
    data = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + meta
    path = write("a.heic", data)
    refused(path, r"HEIC, which OpenCV cannot read: pip install \"mien\[heif\]\"")
    refused(write("a.mov", data), "HEIC")
    path.with_name("a.mov").unlink()
    write("b.png", cv2.imencode(".png", face)[1].tobytes())
    with caplog.at_level(logging.WARNING), open_source(path.parent) as source:
        assert [Path(frame.name).name for frame in source] == ["b.png"]
    assert "1 .heic (for HEIC: pip install" in caplog.text


def test_a_file_that_is_not_what_its_name_says(face: Image, write: Callable[[str, bytes], Path]) -> None:
    data = cv2.imencode(".png", face)[1].tobytes()
    for name in ("a.jpg", "a.mp4", "a", "a.heic", "a.cr2"):
        assert np.array_equal(read_image(write(name, data)), face)
        assert open_source(write(name, data)).kind == "image"
    refused(
        write("b.png", os.urandom(3000).replace(b"\xff\xd8", b"")), "not a picture .*although its name ends in .png"
    )
