from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

import mien.engines.ort_session
from mien import EngineUnavailable, Face, InputError, Recognizer
from mien.types import EXPRESSIONS

BOX = np.array([[178, 63, 268, 176]], np.float32)


@pytest.fixture(scope="module")
def recognizer(tiny_bundle: Path) -> Recognizer:
    return Recognizer(tiny_bundle, threads=1)


def assert_same(a: list[Face], b: list[Face]) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.box, other.box)
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-5)
        assert one.expression.label == other.expression.label


def test_predict_gives_the_documented_types(recognizer: Recognizer, portrait: np.ndarray) -> None:
    (face,) = recognizer.predict(portrait)
    assert face.box.shape == (4,)
    assert face.box.dtype == np.float32
    assert face.landmarks is not None
    assert face.landmarks.shape == (5, 2)
    assert tuple(face.expression.probabilities) == EXPRESSIONS == recognizer.labels
    assert sum(face.expression.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert face.expression.confidence == max(face.expression.probabilities.values())
    assert face.expression.probabilities[face.expression.label] == face.expression.confidence
    assert -1 <= face.affect.valence <= 1
    assert -1 <= face.affect.arousal <= 1
    assert face.embedding.shape == (recognizer.card.embedding,)
    assert recognizer.engine.endswith("/cpu fp32")  # of ONNX Runtime or OpenVINO, whichever is faster here


def test_frame_without_a_face(recognizer: Recognizer) -> None:
    assert recognizer.predict(np.zeros((240, 320, 3), np.uint8)) == []


def test_batch_is_the_same_as_one_by_one_in_one_engine_call(
    recognizer: Recognizer, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [portrait, np.zeros((90, 160, 3), np.uint8), np.hstack([portrait, portrait[:, ::-1]])]
    alone = [recognizer.predict(frame) for frame in frames]
    calls = []
    read = recognizer._model.engine.run
    monkeypatch.setattr(recognizer._model.engine, "run", lambda batch: calls.append(len(batch)) or read(batch))
    together = recognizer.predict_batch(frames)
    assert calls == [3]
    assert [len(faces) for faces in together] == [1, 0, 2]
    for a, b in zip(together, alone, strict=True):
        assert_same(a, b)


def test_own_boxes_and_landmarks_give_what_predict_gives(recognizer: Recognizer, portrait: np.ndarray) -> None:
    found = recognizer.predict(portrait)
    again = recognizer.predict_boxes(portrait, [face.box for face in found], [face.landmarks for face in found])
    assert_same(again, found)
    without = recognizer.predict_boxes(portrait, BOX)
    assert without[0].landmarks is None
    assert recognizer.predict_boxes(portrait, []) == []


def test_threads_share_a_recognizer(recognizer: Recognizer, portrait: np.ndarray) -> None:
    frames = [np.roll(portrait, 7 * i, axis=1) for i in range(8)]
    alone = [recognizer.predict(frame) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        for a, b in zip(pool.map(recognizer.predict, frames), alone, strict=True):
            assert_same(a, b)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), r"scale it to 0\.\.255"),
        (np.full((4, 4, 3), np.nan), r"scale it to 0\.\.255"),
        (np.zeros((4, 4, 3), np.uint16), "scale it so that white"),
        (np.zeros((4, 4), np.uint8), "GRAY2BGR"),
        (np.zeros((4, 4, 4), np.uint8), "BGRA2BGR"),
        (np.zeros((4, 4, 1), np.uint8), "expected"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.zeros((2, 4, 4, 3), np.uint8), "expected"),
        (None, "check the path"),
        ("face.jpg", "open_source"),
    ],
)
def test_bad_frames_say_what_to_do(recognizer: Recognizer, frame: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recognizer.predict(frame)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[10, 10, 10, 50]], "no size"),
        ([[50, 50, 10, 10]], "no size"),
        ([[600, 10, 700, 90]], "outside"),
        ([[-90, -90, -10, -10]], "outside"),
        ([[np.nan, 0, 10, 10]], "finite"),
        ([[0, 0, np.inf, 10]], "finite"),
        ([1, 2, 3, 4], "expected"),
        ([[1, 2, 3]], "expected"),
        ([[1, 2], [3]], "regular"),
        ("abc", "numbers"),
    ],
)
def test_bad_boxes_say_what_to_do(recognizer: Recognizer, portrait: np.ndarray, boxes: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recognizer.predict_boxes(portrait, boxes)  # type: ignore[arg-type]


def test_bad_landmarks(recognizer: Recognizer, portrait: np.ndarray) -> None:
    with pytest.raises(InputError, match="five points"):
        recognizer.predict_boxes(portrait, BOX, np.zeros((1, 4, 2)))
    with pytest.raises(InputError, match="at one point"):
        recognizer.predict_boxes(portrait, BOX, np.zeros((1, 5, 2)))
    with pytest.raises(InputError, match="lie outside"):
        recognizer.predict_boxes(portrait, BOX, np.arange(10).reshape(1, 5, 2))


def test_views_and_read_only_frames_work(recognizer: Recognizer, portrait: np.ndarray) -> None:
    """A mirrored or sliced view has negative or gapped strides, which OpenCV does not take as they are."""
    view = portrait[:, ::-1]
    assert_same(recognizer.predict(view), recognizer.predict(np.ascontiguousarray(view)))
    window = np.pad(portrait, ((0, 0), (5, 9), (0, 0)))[:, 5:-9]
    window.flags.writeable = False
    assert_same(recognizer.predict(window), recognizer.predict(portrait))


def test_grey_portrait_in_color_format(recognizer: Recognizer, portrait: np.ndarray) -> None:
    gray = cv2.cvtColor(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    assert len(recognizer.predict(gray)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"threads": 0},
        {"threads": -1},
        {"min_face": -1},
        {"min_face": float("nan")},
        {"min_score": 1.5},
        {"min_confidence": 1.0},
    ],
)
def test_bad_arguments(tiny_bundle: Path, arguments: dict) -> None:
    with pytest.raises(InputError):
        Recognizer(tiny_bundle, **arguments)


def test_a_device_that_cannot_be_had_raises(tiny_bundle: Path) -> None:
    with pytest.raises(EngineUnavailable, match="choose one of"):
        Recognizer(tiny_bundle, device="quantum")
    if "CUDAExecutionProvider" not in mien.engines.ort_session.ort.get_available_providers():
        with pytest.raises(EngineUnavailable, match=r"mien\[gpu\]"):
            Recognizer(tiny_bundle, device="cuda")
