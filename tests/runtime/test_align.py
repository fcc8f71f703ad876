import cv2
import numpy as np
import pytest

from mien.align import TEMPLATE, CropSpec, crop, crop_matrix, stretch_contrast, warp, window
from mien.errors import InputError
from mien.types import Image

BOX = np.array([100, 80, 200, 200], dtype=np.float32)


def landmarks(angle: float = 0.0, side: float = 110.0, center: tuple[float, float] = (150, 140)) -> np.ndarray:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return ((TEMPLATE - 0.5) * side @ turn + center).astype(np.float32)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, 3.0])
@pytest.mark.parametrize("scale", [0.8, 1.3])
def test_landmarks_land_on_the_template_whatever_the_roll(angle: float, scale: float) -> None:
    spec = CropSpec(100, "landmarks", scale)
    placed = apply(crop_matrix(spec, BOX, landmarks(angle)), landmarks(angle))
    np.testing.assert_allclose(placed, 49.5 + (TEMPLATE - 0.5) * 100 / scale, atol=1e-3)


@pytest.mark.parametrize("anchor", ["box", "landmarks"])
def test_box_alone_gives_an_upright_crop_around_its_centre(anchor: str) -> None:
    matrix = crop_matrix(CropSpec(100, anchor, 1.0), BOX, None)
    np.testing.assert_allclose(apply(matrix, np.array([150.0, 140.0])), [49.5, 49.5], atol=1e-9)
    np.testing.assert_allclose(matrix[:, :2], np.eye(2) * 100 / 110, atol=1e-9)


def test_box_anchor_turns_the_eyes_level() -> None:
    points = landmarks(0.5)
    eyes = apply(crop_matrix(CropSpec(100, "box", 1.0), BOX, points), points)[:2]
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=0.01)
    assert eyes[0, 0] < eyes[1, 0]
    upright = apply(crop_matrix(CropSpec(100, "box", 1.0, rotate=False), BOX, points), points)[:2]
    assert abs(upright[0, 1] - upright[1, 1]) > 5


def test_landmarks_without_rotation_stay_upright() -> None:
    matrix = crop_matrix(CropSpec(100, "landmarks", 1.0, rotate=False), BOX, landmarks(0.5))
    assert matrix[0, 1] == 0 == matrix[1, 0]
    assert matrix[0, 0] > 0


def test_crop_is_rgb_and_repeats_the_border() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[..., 0] = 200  # blue, in BGR
    patch = crop(image, crop_matrix(CropSpec(64), np.array([-40, -40, 80, 80], np.float32), None), 64)
    assert patch.shape == (64, 64, 3)
    assert patch.flags.c_contiguous
    assert (patch == [0, 0, 200]).all()


@pytest.mark.parametrize("factor", [2, 3.7, 8, 31])
def test_shrinking_stays_in_place_and_does_not_alias(factor: float) -> None:
    """A large face must give the crop that a small one gives, without the moire that bilinear sampling makes."""
    rng = np.random.default_rng(0)
    small = cv2.GaussianBlur(rng.integers(0, 256, (80, 80, 3), dtype=np.uint8), (0, 0), 3)
    big = cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(big + rng.normal(0, 40, big.shape), 0, 255).astype(np.uint8)
    box = np.array([16, 16, 64, 64], np.float32)
    spec = CropSpec(48)
    reference = warp(small, crop_matrix(spec, box, None), 48).astype(float)
    scaled = (box + 0.5) * factor - 0.5
    assert np.abs(warp(big, crop_matrix(spec, scaled, None), 48) - reference).mean() < 2.5
    if factor >= 3:
        assert np.abs(warp(noisy, crop_matrix(spec, scaled, None), 48) - reference).mean() < 40 / factor


def test_crop_of_a_face_at_the_very_corner() -> None:
    image = np.random.default_rng(0).integers(0, 256, (900, 700, 3), dtype=np.uint8)
    for box in ([-300, -300, 100, 100], [650, 850, 1200, 1400], [-2000, -2000, 3000, 3000]):
        assert crop(image, crop_matrix(CropSpec(112), np.array(box, np.float32), None), 112).shape == (112, 112, 3)


@pytest.mark.parametrize("bad", [{"size": 4}, {"size": 9999}, {"anchor": "nose"}, {"scale": 0.0}])
def test_unusable_specs_are_refused(bad: dict) -> None:
    with pytest.raises(InputError):
        CropSpec(**{"size": 112, **bad})


@pytest.mark.parametrize(("gain", "offset"), [(0.08, 0), (0.1, 120)])
def test_a_faint_crop_is_stretched_and_another_stays_as_it_is(portrait: Image, gain: float, offset: int) -> None:
    spec, box = CropSpec(size=112, scale=0.9), np.array([178, 63, 268, 176], np.float32)
    matrix = crop_matrix(spec, box, None)
    clear = crop(portrait, matrix, 112)
    assert (crop(portrait, matrix, 112) == warp(portrait, matrix, 112)[..., ::-1]).all()
    faint = np.clip(portrait * gain + offset, 0, 255).astype(np.uint8)
    made = crop(faint, matrix, 112).astype(float)
    assert np.ptp(np.percentile(made, (1, 99))) > 250
    assert np.corrcoef(made.ravel(), clear.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("shade", [0, 7, 255])
def test_a_blank_picture_is_not_stretched(shade: int) -> None:
    blank = np.full((90, 90, 3), shade, np.uint8)
    assert (stretch_contrast(blank) == blank).all()


@pytest.mark.parametrize("side", [40, 100, 160, 333, 1000])
@pytest.mark.parametrize("middle", [(250, 200), (5, 10), (511, 300), (-400, 700), (10_000, -10_000)])
def test_a_window_shows_what_a_warp_would(portrait: Image, side: int, middle: tuple[int, int]) -> None:
    part, corner, zoom = window(portrait, np.array(middle, np.float32), side, 160)
    assert part.shape == (160, 160, 3)
    assert zoom == pytest.approx(160 / side, rel=0.02)
    # Pixel centers: px p of the window has its middle at (p + 0.5) / zoom - 0.5 of the picture.
    offset = 0.5 * zoom - 0.5 - zoom * corner
    expected = warp(portrait, np.array([[zoom, 0, offset[0]], [0, zoom, offset[1]]]), 160)
    assert np.abs(part.astype(float) - expected).mean() < 6
