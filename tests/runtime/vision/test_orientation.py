"""Faces that lie or stand on their heads are cut upright, wherever they are looked for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.align import roll
from mien.recognizer import Recognizer
from mien.types import Image
from mien.vision.detector import SMALL_WINDOW_PX, load_detector
from mien.vision.examples import read_examples
from mien.vision.orientation import DOUBTFUL_SCORE

QUARTERS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(device="cpu", precision="fp32", threads=1)


@pytest.fixture(scope="module")
def head(portrait: Image) -> Image:
    """Head and shoulders, so that the face is in the middle and stays there when it is turned."""
    return np.ascontiguousarray(portrait[0:240, 103:343])


def turned(image: Image, angle: int) -> Image:
    """Clockwise by a multiple of 15 degrees, in a frame large enough for all of it."""
    margin = 80
    wide = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    if angle in QUARTERS:
        return np.asarray(cv2.rotate(wide, QUARTERS[angle]), np.uint8)
    height, width = wide.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -angle, 1)
    return np.asarray(cv2.warpAffine(wide, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def gap(first: float, second: float) -> float:
    """Degrees between two directions."""
    return abs((first - second + 180) % 360 - 180)


@pytest.mark.parametrize("angle", [90, 120, 135, 180, 225, 270])
def test_a_turned_face_is_read_as_the_upright_one(recognizer: Recognizer, head: Image, angle: int) -> None:
    (upright,) = recognizer.predict(turned(head, 0))
    (single,), (again,) = recognizer.predict_batch([turned(head, angle), turned(head, angle)])
    for face in (single, again):
        assert face.expression.label == upright.expression.label == "happiness"
        assert face.expression.confidence > 0.9
        assert face.landmarks is not None
        assert gap(np.degrees(roll(face.landmarks)), angle) < 15


def test_upright_faces_are_found_as_ever(portrait: Image) -> None:
    for picture in (portrait, np.ascontiguousarray(portrait[:, ::-1])):
        (plain,), (face,) = load_detector(turned=False).detect(picture), load_detector().detect(picture)
        np.testing.assert_array_equal(plain.box, face.box)
        assert plain.score == face.score


@pytest.mark.parametrize("angle", [90, 180])
def test_a_stream_keeps_a_turned_face(recognizer: Recognizer, head: Image, angle: int) -> None:
    """The search of a whole frame misses most of them, and comes once a second; windows in between must be turned."""
    stream = recognizer.stream(temporal=False)
    picture = turned(head, angle)
    seen = []
    for i in range(40):
        faces = stream.update(np.roll(picture, i, axis=1), i / 15)
        seen.append([(face.track_id, face.expression.label) for face in faces])
    assert seen == [[(1, "happiness")]] * 40


def test_a_window_is_turned_as_its_face_is(portrait: Image) -> None:
    detector = load_detector()
    (upright,) = detector.detect(portrait)
    picture = np.asarray(cv2.rotate(portrait, cv2.ROTATE_180), np.uint8)
    x1, y1, x2, y2 = 511 - upright.box
    (found,) = detector.detect_near(picture, [np.array([x2, y2, x1, y1], np.float32)], [np.pi])
    assert found.landmarks is not None
    assert upright.landmarks is not None
    np.testing.assert_allclose(found.landmarks, 511 - upright.landmarks, atol=10)


def test_examples_to_learn_from_may_be_turned(recognizer: Recognizer, head: Image) -> None:
    detector, model = recognizer._detector, recognizer._model
    pictures = [turned(head, 0), turned(head, 180)]
    examples, _, _ = read_examples(pictures, detector, model, skip_faceless=False)
    one, other = examples.embedding / np.linalg.norm(examples.embedding, axis=1, keepdims=True)
    assert one @ other > 0.95


def test_a_crowd_of_small_upright_faces_costs_little(head: Image) -> None:
    """Small faces have low scores for that alone. Each costs a look or two in small windows, not eight large ones."""
    picture = np.tile(cv2.resize(head, (135, 135), interpolation=cv2.INTER_AREA), (8, 8, 1))
    picture = np.asarray(cv2.copyMakeBorder(picture, 0, 0, 0, 840, cv2.BORDER_CONSTANT), np.uint8)
    detector, plain = load_detector(), load_detector(turned=False)
    searched = plain.detect(picture)
    assert len(searched) == 64
    assert max(face.score for face in searched) < DOUBTFUL_SCORE
    windows: list[int] = []
    run = detector.engine.run
    detector.engine.run = lambda batch: (windows.append(batch.shape[1]), run(batch))[1]  # type: ignore[method-assign, func-returns-value]
    found = detector.detect(picture)
    np.testing.assert_array_equal([face.box for face in found], [face.box for face in searched])
    assert set(windows[1:]) == {SMALL_WINDOW_PX}
    assert len(windows) - 1 <= 2 * len(found)


@pytest.mark.parametrize("angle", [90, 180])
def test_a_small_turned_face_among_small_upright_ones_is_found_turned(head: Image, angle: int) -> None:
    small = np.asarray(cv2.resize(head, (240, 240), interpolation=cv2.INTER_AREA), np.uint8)
    picture = np.tile(small, (4, 4, 1))
    picture[240:480, 240:480] = cv2.rotate(small, QUARTERS[angle])
    angles = [
        np.degrees(roll(face.landmarks)) for face in load_detector().detect(picture) if face.landmarks is not None
    ]
    assert len(angles) >= 15
    assert sum(gap(one, angle) < 30 for one in angles) == 1
    assert sum(gap(one, 0) < 30 for one in angles) == len(angles) - 1
