"""What callers hand in as a frame: converted where it is known, refused in words where it is not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import InputError
from mien.types import Image
from mien.vision.frames import check_frame

PIL = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def picture(portrait: Image) -> object:
    return PIL.fromarray(np.ascontiguousarray(portrait[::4, ::4, ::-1]))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "L", "LA", "P", "1", "CMYK", "YCbCr", "HSV", "RGBa", "La"])
def test_pillow_pictures_are_converted_by_their_mode(mode: str, picture: object, portrait: Image) -> None:
    through = {"RGBa": "RGBA", "La": "LA"}.get(mode)
    given = picture.convert(through).convert(mode) if through else picture.convert(mode)  # type: ignore[attr-defined]
    expected = portrait[::4, ::4]
    if mode in ("L", "LA", "La"):
        expected = cv2.cvtColor(cv2.cvtColor(expected, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if mode == "1":
        expected = np.asarray(given.convert("RGB"))
    difference = np.abs(check_frame(given).astype(int) - expected).mean()
    assert difference < (20 if mode == "P" else 3)


def test_a_class_made_from_pillows_is_one(picture: object, portrait: Image) -> None:
    class Own(PIL.Image):  # type: ignore[misc, name-defined]
        pass

    own = Own()
    own.__dict__.update(picture.__dict__)
    assert np.array_equal(check_frame(own), portrait[::4, ::4])


def test_alpha_of_pillow_pictures_lies_over_white(picture: object) -> None:
    given = picture.convert("RGBA")  # type: ignore[attr-defined]
    given.putalpha(0)
    assert (check_frame(given) == 255).all()
    palette = PIL.new("P", (8, 8), 0)
    palette.putpalette([9, 9, 9, 200, 100, 50])
    palette.info["transparency"] = 0
    assert (check_frame(palette) == 255).all()


def test_16_bits_of_pillow_are_scaled() -> None:
    deep = PIL.fromarray(np.full((8, 8), 257 * 77, np.uint16))
    assert (check_frame(deep) == 77).all()


@pytest.mark.parametrize("mode", ["LAB", "I", "F"])
def test_pillow_pictures_of_which_white_or_colors_are_not_known_are_refused(mode: str) -> None:
    with pytest.raises(InputError, match=f"mode {mode}"):
        check_frame(PIL.new(mode, (8, 8)))


def test_a_pillow_picture_that_lies_is_refused(picture: object, tmp_path: Path) -> None:
    tags = PIL.Exif()
    tags[0x112] = 6
    picture.save(tmp_path / "a.jpg", exif=tags)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="exif_transpose"):
        check_frame(PIL.open(tmp_path / "a.jpg"))


def test_a_umat_is_fetched(portrait: Image) -> None:
    assert np.array_equal(check_frame(cv2.UMat(portrait)), portrait)


def test_tensors_are_refused(portrait: Image) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"torch tensor.*permute"):
        check_frame(torch.from_numpy(portrait.copy()))


@pytest.mark.parametrize("path", ["face.jpg", Path("face.jpg"), b"face.jpg"])
def test_a_path_names_what_reads_it(path: object) -> None:
    with pytest.raises(InputError, match=r"open_source\(path\) or cv2.imread"):
        check_frame(path)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((9, 8), "COLOR_YUV2BGR_NV12"),
        ((9, 8, 1), "GRAY2BGR"),
        ((9, 8, 2), "YUY2"),
        ((9, 8, 4), "RGBA2BGR"),
        ((3, 9, 8), r"transpose\(1, 2, 0\)"),
        ((2, 9, 8, 3), "predict_batch"),
    ],
)
def test_other_shapes_say_what_they_may_be(shape: tuple[int, ...], hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        check_frame(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("dtype", "hint"),
    [(np.uint16, "257"), (np.float32, r"0\.\.255"), (np.bool_, r"\* 255"), (np.int64, "no value is above 255")],
)
def test_other_depths_are_never_cut(dtype: type, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        check_frame(np.ones((9, 8, 3), dtype))


def test_none_and_other_objects() -> None:
    with pytest.raises(InputError, match="check the path or camera"):
        check_frame(None)
    with pytest.raises(InputError, match="not a picture"):
        check_frame(object())
