"""Pictures that are cut off or broken: refused, and never filled up in silence. Whole ones are read."""

from __future__ import annotations

import importlib
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import SourceError
from mien.sources.images import read_image
from mien.sources.stills.decoder import decode
from mien.sources.stills.packed import is_whole
from mien.types import Image

pytest.importorskip("PIL.Image")
still_files = importlib.import_module("still_files")
EOI = b"\xff\xd9"
PROGRESSIVE = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]


def jpeg(image: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", image, list(options))[1].tobytes()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Image]:
    def read(data: bytes, suffix: str = ".jpg") -> Image:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(data)
        return read_image(path)

    return read


@pytest.mark.parametrize("options", [(), PROGRESSIVE, (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)])
def test_a_jpeg_that_lacks_only_its_end_is_read(
    options: tuple[int, ...], portrait: Image, read: Callable[..., Image]
) -> None:
    whole = jpeg(portrait, *options)
    expected = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)
    for short in (whole[:-2], whole[:-1]):
        assert np.array_equal(read(short), expected)
    for length in (len(whole) - 40, len(whole) * 2 // 3, len(whole) // 3, 700):
        with pytest.raises(SourceError, match="cut off"):
            read(whole[:length])


def test_a_progressive_jpeg_without_its_last_scans_is_cut_off(portrait: Image, read: Callable[..., Image]) -> None:
    whole = jpeg(portrait, *PROGRESSIVE)
    scans = [place for place in range(len(whole)) if whole[place : place + 2] == b"\xff\xda"]
    tables = whole.rindex(b"\xff\xc4", 0, scans[-1])
    with pytest.raises(SourceError, match="cut off"):
        read(whole[:tables])


@pytest.mark.parametrize("options", [(), PROGRESSIVE, (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)])
def test_a_jpeg_broken_in_its_middle_is_refused(
    options: tuple[int, ...], portrait: Image, read: Callable[..., Image], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = jpeg(portrait, *options)
    middle = len(whole) // 2
    noise = np.random.default_rng(0).bytes(4096)
    for broken in (
        whole[:middle] + bytes(4096) + whole[middle + 4096 :],
        whole[:middle] + noise + whole[middle + 4096 :],
        whole[:middle] + whole[middle + 4096 :],
    ):
        with pytest.raises(SourceError, match="damaged"):
            read(broken)
    assert capfd.readouterr() == ("", "")  # libjpeg's own words are not shown


def test_padding_and_rubbish_do_no_harm(portrait: Image, read: Callable[..., Image]) -> None:
    """As cameras write it before the end, and editors between segments."""
    whole = jpeg(portrait)
    expected = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)
    tables = whole.index(b"\xff\xdb")
    for changed in (
        whole[:-2] + bytes(100) + EOI,
        whole + b"\0\0 what some phones append" + EOI,
        whole[:tables] + b"\0\0rubbish" + whole[tables:],
    ):
        assert np.array_equal(read(changed), expected)
    middle = len(whole) // 2
    hidden = whole[:tables] + b"\0\0rubbish" + whole[tables:middle] + whole[middle + 4096 :]
    with pytest.raises(SourceError, match="damaged"):  # libjpeg would only tell of the rubbish
        read(hidden)


def test_a_png_with_a_wrong_checksum_is_refused(portrait: Image, read: Callable[..., Image]) -> None:
    whole = cv2.imencode(".png", portrait[::4, ::4])[1].tobytes()
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 1
    with pytest.raises(SourceError, match="damaged: the checksum"):
        read(bytes(broken), ".png")
    assert np.array_equal(read(whole[:-12], ".png"), portrait[::4, ::4])  # only its end is missing
    text = b"tEXtbroken"  # what does not matter may be broken
    chunk = struct.pack(">I", 6) + text + struct.pack(">I", zlib.crc32(text) ^ 1)
    assert np.array_equal(read(whole[:33] + chunk + whole[33:], ".png"), portrait[::4, ::4])


def test_a_tiff_with_broken_pixels_is_refused(portrait: Image, read: Callable[..., Image]) -> None:
    ways = {"deflate": 8, "lzw": 5}
    for name, way in ways.items():
        whole = cv2.imencode(".tiff", portrait[::4, ::4], [cv2.IMWRITE_TIFF_COMPRESSION, way])[1].tobytes()
        assert np.array_equal(read(whole, ".tif"), portrait[::4, ::4])
        middle = len(whole) // 2
        broken = whole[:middle] + np.random.default_rng(1).bytes(300) + whole[middle + 300 :]
        if name == "deflate" or tuple(map(int, cv2.__version__.split(".")[:2])) >= (4, 13):
            with pytest.raises(SourceError, match="damaged"):
                read(broken, ".tif")


def test_a_few_bytes_that_unpack_to_gigabytes_are_not_unpacked(tmp_path: Path) -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    tracemalloc.start()
    assert not is_whole([bomb[:1000], bomb[1000:]], 1 << 20)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
    assert is_whole([bomb[:1000], bomb[1000:]], 1 << 30)
    assert not is_whole([bomb[:-1]], 1 << 30)


def test_no_file_that_is_cut_off_is_read_otherwise_than_whole(portrait: Image, read: Callable[..., Image]) -> None:
    """What misses some bytes is refused, or is what it was."""
    face = np.asarray(cv2.resize(portrait[20:220, 120:330], (63, 60), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    seen = set()
    for file in still_files.still_files(face):
        kind = "".join(letter for letter in file.name if not letter.isdigit())
        if kind in seen:
            continue
        seen.add(kind)
        suffix = Path(file.name).suffix
        whole = read(file.data, suffix)
        for length in (len(file.data) - 1, len(file.data) - 9, len(file.data) * 3 // 4, len(file.data) // 2, 40):
            try:
                image = read(file.data[:length], suffix)
            except SourceError:
                continue
            assert np.array_equal(image, whole) or file.name.endswith("t.ppm"), (file.name, length)
    assert len(seen) > 20


def test_words_of_others_are_handed_on_while_a_decoder_is_listened_to(
    portrait: Image, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = jpeg(portrait)
    decoder = cv2.imdecode

    def and_speak(*args: object) -> object:
        os.write(2, b"another thread\n")
        return decoder(*args)  # type: ignore[call-overload]

    monkeypatch.setattr(cv2, "imdecode", and_speak)
    _, words = decode(whole[: len(whole) // 2] + EOI)
    assert "premature end" in words
    assert capfd.readouterr().err == "another thread\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
@pytest.mark.parametrize("closed", ["2", "0 1 2"])
def test_a_decoder_is_heard_where_stderr_is_closed(closed: str, portrait: Image, tmp_path: Path) -> None:
    whole = jpeg(portrait)
    (tmp_path / "whole.jpg").write_bytes(whole)
    (tmp_path / "broken.jpg").write_bytes(whole[: len(whole) // 2] + whole[len(whole) // 2 + 4096 :])
    code = (
        "import os, pathlib, sys\n"
        "from mien.errors import SourceError\n"
        "from mien.sources.images import read_image\n"
        "for number in sys.argv[2].split(): os.close(int(number))\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "for _ in range(3): read_image(folder / 'whole.jpg')\n"
        "try: read_image(folder / 'broken.jpg')\n"
        "except SourceError as error: (folder / 'said').write_text(str(error))\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), closed], check=True, timeout=60)
    assert "damaged" in (tmp_path / "said").read_text()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_child_does_not_wait_for_the_lock_of_its_parent(portrait: Image, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(portrait))
    code = (
        "import os, pathlib, sys\n"
        "from mien.sources.images import read_image\n"
        "from mien.sources.stills import decoder\n"
        "decoder._alone.acquire()\n"
        "child = os.fork()\n"
        "if not child: os._exit(read_image(pathlib.Path(sys.argv[1])).shape[0] != 512)\n"
        "sys.exit(os.waitpid(child, 0)[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.jpg")], check=True, timeout=60)
