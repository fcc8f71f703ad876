from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mien.drawing.faces import COLORS, OTHER, blur_faces, draw_faces
from mien.types import EXPRESSIONS, Face, Image

MakeFace = Callable[..., Face]


def changed(before: Image, after: Image) -> np.ndarray:
    return np.asarray((before != after).any(axis=2))


def test_the_picture_given_stays_as_it_is(portrait: Image, make_face: MakeFace) -> None:
    before = portrait.copy()
    drawn = draw_faces(portrait, [make_face((178, 63, 268, 176))])
    assert np.array_equal(portrait, before)
    assert drawn.shape == portrait.shape
    assert drawn.dtype == np.uint8
    assert np.array_equal(draw_faces(portrait, []), portrait)


@pytest.mark.parametrize("side", [160, 512, 2160])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_everything_shows_beside_the_face_at_any_size(side: int, level: int, make_face: MakeFace) -> None:
    image = np.full((side, side, 3), level, dtype=np.uint8)
    x1, y1, x2, y2 = (round(side * part) for part in (0.35, 0.3, 0.55, 0.55))
    marks = changed(image, draw_faces(image, [make_face((x1, y1, x2, y2), "anger")]))
    assert marks[:y1].sum() > 200  # the label, above
    assert marks[y1:y2, x2 + max(4, side // 90) :].sum() > 200  # the dial, on the right
    inside = max(6, round(0.1 * (x2 - x1)))
    face = marks[y1 + inside : y2 - inside, x1 + inside : x2 - inside]
    assert not face.any()


@pytest.mark.parametrize(
    "box", [(0, 0, 60, 70), (260, 0, 320, 70), (0, 130, 60, 180), (-20, -30, 50, 60), (0, 0, 320, 180)]
)
def test_labels_stay_inside_at_the_borders(box: tuple[int, int, int, int], make_face: MakeFace) -> None:
    image = np.full((180, 320, 3), 128, dtype=np.uint8)
    drawn = draw_faces(image, [make_face(box, "disgust")])
    pill = np.abs(drawn.astype(int) - COLORS["disgust"]).max(axis=2) < 12
    rows, columns = np.nonzero(pill)
    assert columns.max() - columns.min() >= 60
    assert rows.max() - rows.min() >= 14


@pytest.mark.parametrize("shape", [(1, 1), (5, 400), (400, 5), (24, 24)])
def test_tiny_pictures(shape: tuple[int, int], make_face: MakeFace) -> None:
    image = np.zeros((*shape, 3), dtype=np.uint8)
    faces = [make_face((0, 0, shape[1], shape[0])), make_face((-9, -9, -2, -2)), make_face((500, 500, 600, 600))]
    assert draw_faces(image, faces).shape == image.shape


def test_labels_of_neighbours_do_not_cover_faces(make_face: MakeFace) -> None:
    image = np.full((300, 400, 3), 90, dtype=np.uint8)
    boxes = [(20, 60, 100, 150), (120, 60, 200, 150), (20, 190, 100, 280), (120, 190, 200, 280)]
    drawn = draw_faces(image, [make_face(box, label) for box, label in zip(boxes, EXPRESSIONS, strict=False)])
    for x1, y1, x2, y2 in boxes:
        assert not changed(image, drawn)[y1 + 8 : y2 - 8, x1 + 8 : x2 - 8].any()


def test_every_class_has_its_color_and_others_are_drawn_too(make_face: MakeFace) -> None:
    assert set(COLORS) == set(EXPRESSIONS)
    assert len(set(COLORS.values())) == len(EXPRESSIONS)
    image = np.zeros((160, 160, 3), dtype=np.uint8)
    assert changed(image, draw_faces(image, [make_face((40, 50, 90, 110), "boredom")])).any()


def test_a_track_is_told_and_an_uncertain_face_is_grey(make_face: MakeFace) -> None:
    image = np.zeros((200, 300, 3), dtype=np.uint8)
    face = make_face((100, 60, 180, 160), "uncertain")
    plain, tracked = draw_faces(image, [face]), draw_faces(image, [replace(face, track_id=12)])

    def wide(drawn: Image) -> int:
        columns = np.nonzero(np.abs(drawn[:60].astype(int) - OTHER).max(axis=2) < 12)[1]
        return int(np.ptp(columns))

    assert wide(tracked) > wide(plain) + 10
    assert OTHER not in COLORS.values()
    other = draw_faces(image, [replace(face, track_id=34)])
    assert changed(tracked, other)[:60].any()
    assert not changed(tracked, other)[60:].any()


def test_the_same_faces_are_drawn_the_same_again(portrait: Image, make_face: MakeFace) -> None:
    faces = [make_face((178, 63, 268, 176)), make_face((20, 300, 90, 380), "anger")]
    first = draw_faces(portrait, faces)
    draw_faces(portrait, [make_face((100, 100, 300, 300), "fear")])
    assert np.array_equal(draw_faces(portrait, faces), first)


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_blurring_leaves_nothing_of_a_face_and_all_of_the_rest(
    scale: float, portrait: Image, make_face: MakeFace
) -> None:
    image = np.asarray(cv2.resize(portrait, None, fx=scale, fy=scale), dtype=np.uint8)
    before = image.copy()
    x1, y1, x2, y2 = (round(value * scale) for value in (178, 63, 268, 176))
    blurred = blur_faces(image, [make_face((x1, y1, x2, y2))])
    assert np.array_equal(image, before)
    # Eyes, mouth and outline are edges; what is left varies over parts of the face only.
    inside = (slice(y1, y2), slice(x1, x2))
    assert edges(blurred[inside], scale) < 0.1 * edges(image[inside], scale)
    wide, high = x2 - x1, y2 - y1
    margin = (slice(max(0, y1 - high // 6), y2 + high // 6), slice(x1 - wide // 6, x2 + wide // 6))
    assert edges(blurred[margin], scale) < 0.15 * edges(image[margin], scale)
    far = np.ones(image.shape[:2], dtype=bool)
    far[max(0, y1 - high) : y2 + high, max(0, x1 - wide) : x2 + wide] = False
    assert not changed(image, blurred)[far].any()


def edges(image: Image, scale: float) -> float:
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return float(np.abs(cv2.Laplacian(cv2.resize(gray, None, fx=1 / scale, fy=1 / scale), cv2.CV_32F)).mean())


def test_what_differs_only_inside_of_the_grains_is_the_same_once_blurred(make_face: MakeFace) -> None:
    """Pictures of equal means in all grains cannot be told apart: nothing finer comes through."""
    face = make_face((100, 100, 180, 200))
    rng = np.random.default_rng(0)
    noise = rng.choice(np.array([-60, 60]), (300, 300, 1))
    flat = np.full((300, 300, 3), 128, dtype=np.uint8)
    textured = (128 + noise * np.ones(3)).astype(np.uint8)
    inside = (slice(100, 200), slice(100, 180))
    difference = blur_faces(textured, [face])[inside].astype(int) - blur_faces(flat, [face])[inside]
    assert np.abs(difference).max() < 15


@pytest.mark.parametrize(
    "box",
    [
        (-30, -40, 60, 70),
        (270, 130, 340, 220),
        (-90, -90, -40, -40),
        (400, 10, 460, 90),
        (0, 0, 320, 180),
        (5, 5, 5, 5),
    ],
)
def test_faces_at_the_border_are_blurred_as_coarsely(box: tuple[int, int, int, int], make_face: MakeFace) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (180, 320, 3), dtype=np.uint8)
    blurred = blur_faces(image, [make_face(box)])
    x1, y1, x2, y2 = max(0, box[0]), max(0, box[1]), min(320, box[2]), min(180, box[3])
    if x2 > x1 and y2 > y1:
        assert blurred[y1:y2, x1:x2].std() < 25  # noise had 74
    assert blurred.shape == image.shape


@pytest.mark.parametrize("shape", [(1, 1), (5, 400), (400, 5), (24, 24)])
def test_tiny_pictures_are_blurred(shape: tuple[int, int], make_face: MakeFace) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert blur_faces(image, [make_face((0, 0, shape[1], shape[0]))]).shape == image.shape


def test_a_smoothed_box_that_lags_does_not_bare_the_face(make_face: MakeFace) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    face = replace(make_face((50, 60, 110, 140)), raw=make_face((150, 60, 210, 140)))
    blurred = blur_faces(image, [face])
    assert blurred[60:140, 150:210].std() < 25
    assert blurred[60:140, 50:110].std() < 25
