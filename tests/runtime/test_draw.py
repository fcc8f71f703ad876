from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mien.draw import COLOURS, draw_faces
from mien.faces import EXPRESSIONS, Face, Image

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
    pill = np.abs(drawn.astype(int) - COLOURS["disgust"]).max(axis=2) < 12
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


def test_every_class_has_its_colour_and_others_are_drawn_too(make_face: MakeFace) -> None:
    assert set(COLOURS) == set(EXPRESSIONS)
    assert len(set(COLOURS.values())) == len(EXPRESSIONS)
    image = np.zeros((160, 160, 3), dtype=np.uint8)
    assert changed(image, draw_faces(image, [make_face((40, 50, 90, 110), "boredom")])).any()
