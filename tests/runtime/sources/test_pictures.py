"""Pictures as sources, alone and in folders: any pixels, damaged ones, their order, their names."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from whole_sources import read

from mien.errors import InputError, SourceError
from mien.sources.factory import open_source
from mien.sources.images import read_image
from mien.types import Image


def encode(path: Path, image: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def test_one_picture(tmp_path: Path, portrait: Image) -> None:
    path = encode(tmp_path / "a.png", portrait)
    source, (frame,) = read(path)
    assert (source.kind, source.count, source.size) == ("image", 1, (512, 512))
    assert (frame.index, frame.time, frame.name) == (0, 0.0, str(path))
    assert np.array_equal(frame.image, portrait)


@pytest.mark.parametrize("shape", [(1, 1, 3), (60, 12000, 3), (6000, 6000, 3), (31, 47)])
def test_pictures_of_any_size(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = read_image(encode(tmp_path / "a.png", np.full(shape, 77, dtype=np.uint8)))
    assert image.shape == (*shape[:2], 3)
    assert image.dtype == np.uint8
    assert (image == 77).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_any_pixels_become_8_bit_bgr(tmp_path: Path, channels: int, dtype: type, top: int) -> None:
    stored = np.full((8, 9, channels), top * 2 // 5, dtype=dtype)
    if channels == 4:
        stored[..., 3] = top
        stored[0, 0, 3] = 0
    image = read_image(encode(tmp_path / "a.png", stored))
    assert image.shape == (8, 9, 3)
    assert (image[1:] == 102).all()
    assert (image[0, 0] == (255 if channels == 4 else 102)).all()  # alpha lies over white


def test_half_transparent_is_half_white(tmp_path: Path) -> None:
    stored = np.full((4, 4, 4), 128, dtype=np.uint8)
    stored[..., :3] = 0
    assert abs(int(read_image(encode(tmp_path / "a.png", stored))[0, 0, 0]) - 127) <= 1


def test_float_pixels_are_an_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.tiff", np.ones((4, 4, 3), dtype=np.float32))
    with pytest.raises(SourceError, match="float"):
        read_image(path)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    data = cv2.imencode(".jpg", np.zeros((20, 60, 3), dtype=np.uint8))[1].tobytes()
    tags = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(tags) + 2) + tags + data[2:])
    assert read_image(path).shape == (60, 20, 3)


def test_a_thumbnail_does_not_hide_a_cut_jpeg(tmp_path: Path, portrait: Image) -> None:
    data = cv2.imencode(".jpg", portrait)[1].tobytes()
    thumbnail = cv2.imencode(".jpg", portrait[::16, ::16])[1].tobytes()
    whole = data[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + data[2:]
    path = tmp_path / "a.jpg"
    path.write_bytes(whole + b"\0\0 what some phones append")
    assert read_image(path).shape == portrait.shape
    for length in (len(whole) // 2, len(whole) - 20, len(thumbnail) + 30):
        path.write_bytes(whole[:length])
        with pytest.raises(SourceError, match="cut off"):
            read_image(path)


def bad_files(folder: Path, portrait: Image) -> dict[str, Path]:
    files = {
        "empty.jpg": b"",
        "text.jpg": b"this is no picture\n" * 100,
        "half.jpg": cv2.imencode(".jpg", portrait)[1].tobytes()[:20_000],
        "half.png": cv2.imencode(".png", portrait)[1].tobytes()[:20_000],
        "half.bmp": cv2.imencode(".bmp", portrait)[1].tobytes()[:20_000],
        "noise.png": bytes(range(256)) * 8,
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in files}


def test_a_bad_picture_is_an_error_that_names_it(tmp_path: Path, portrait: Image) -> None:
    for name, path in bad_files(tmp_path, portrait).items():
        with pytest.raises(SourceError, match=name):
            open_source(path)


def test_a_folder_is_in_natural_order_and_passes_over_bad_pictures(
    tmp_path: Path, portrait: Image, caplog: pytest.LogCaptureFixture
) -> None:
    bad = bad_files(tmp_path, portrait)
    for number in (10, 9, 1):
        encode(tmp_path / f"shot{number}.png", portrait[:number, :20])
    (tmp_path / "notes.txt").write_text("not a picture by its name")
    (tmp_path / "below").mkdir()
    source, frames = read(tmp_path)
    assert source.kind == "images"
    assert source.count == len(bad) + 3
    assert [frame.image.shape[0] for frame in frames] == [1, 9, 10]
    assert len({frame.index for frame in frames}) == 3
    assert len(caplog.records) == len(bad) + 1
    assert "1 .txt" in caplog.text
    assert all(any(name in record.getMessage() for record in caplog.records) for name in bad)
    assert [frame.image.shape[0] for frame in read(str(tmp_path / "shot1*.png"))[1]] == [1, 10]


def test_where_nothing_can_be_read_it_is_an_error(tmp_path: Path, portrait: Image) -> None:
    with pytest.raises(SourceError, match="is empty; put pictures into it"):
        open_source(tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / "notes.txt").write_text("not a picture")
    with pytest.raises(SourceError, match=r"holds no pictures .* it has 1 .txt; read its subfolders .*\*\*"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match="no file matches"):
        open_source(str(tmp_path / "*.jpg"))
    with pytest.raises(SourceError, match="no file or folder"):
        open_source(tmp_path / "nothing.jpg")
    with pytest.raises(InputError, match="empty"):
        open_source(" ")
    bad_files(tmp_path, portrait)
    with pytest.raises(SourceError, match="none of the 6"):
        read(tmp_path)


def test_the_pattern_that_is_advised_reads_the_pictures_below(tmp_path: Path, portrait: Image) -> None:
    (tmp_path / "shots" / "monday").mkdir(parents=True)
    encode(tmp_path / "shots" / "monday" / "a.png", portrait[:20, :20])
    with pytest.raises(SourceError, match="subfolders") as refused:
        open_source(tmp_path)
    pattern = str(refused.value).rpartition("recursive, or '")[2].rstrip("')")
    assert len(read(pattern)[1]) == 1


def test_pictures_can_be_stopped(tmp_path: Path, portrait: Image) -> None:
    for i in range(3):
        encode(tmp_path / f"{i}.png", portrait[:20, :20])
    for spec, expected in ((tmp_path, 1), (tmp_path / "0.png", 1)):
        with open_source(spec) as source:
            seen = []
            for frame in source:
                seen.append(frame)
                source.stop()
            assert len(seen) == expected
            assert source.state == "ended"
    with open_source(tmp_path) as source:
        source.stop()
        assert not list(source)


def test_pictures_named_with_other_digits_are_sorted_too(tmp_path: Path, portrait: Image) -> None:
    for name in ("a10", "a9", "a\u00b2", "1" * 200):
        cv2.imwrite(str(tmp_path / f"{name}.png"), portrait[:64, :64])
    _, frames = read(tmp_path)
    assert [Path(frame.name).stem for frame in frames[-3:]] == ["a9", "a10", "a\u00b2"]


def test_spaces_around_a_name_belong_to_it_where_there_is_such_a_file(tmp_path: Path) -> None:
    for name, gray in (("a.png", 10), (" a.png", 90), ("a.png ", 200)):
        encoded = cv2.imencode(".png", np.full((8, 8, 3), gray, np.uint8))[1]
        (tmp_path / name).write_bytes(encoded.tobytes())
        _, (frame,) = read(tmp_path / name)
        assert frame.image[0, 0, 0] == gray
    _, (frame,) = read(f"  {tmp_path / 'a.png'}\n")  # as from a list of names
    assert frame.image[0, 0, 0] == 10
