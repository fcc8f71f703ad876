"""Triton's Python backend, frame -> faces: the same faces as ``Recognizer.predict``."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from triton_stand_in import Tensor, config_of, fits, load_frame_model

from mien import Recognizer
from mien.errors import InputError
from mien.types import Face, Image
from mien_export.triton.repository import write_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_repository("default", tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture(scope="module")
def crowd(portrait: Image) -> Image:
    """Forty small faces, one of them upside down: more than one batch of crops."""
    tiles = np.tile(cv2.resize(portrait, (160, 160), interpolation=cv2.INTER_AREA), (5, 8, 1))
    tiles[:160, :160] = cv2.rotate(tiles[:160, :160], cv2.ROTATE_180)
    return tiles


def change(repository: Path, name: str, value: str) -> None:
    """Set a parameter as a user does, in the text."""
    path = repository / "mien/config.pbtxt"
    text, count = re.subn(rf'(key: "{name}" value: {{ string_value: )"[^"]*"', rf'\1"{value}"', path.read_text())
    assert count == 1
    path.write_text(text)


def assert_same(arrays: dict[str, np.ndarray], faces: list[Face], labels: tuple[str, ...]) -> None:
    assert [label.decode() for label in arrays["label"]] == [face.expression.label for face in faces]
    expected: dict[str, Any] = {
        "box": [face.box for face in faces],
        "landmarks": [face.landmarks for face in faces],
        "score": [face.score for face in faces],
        "confidence": [face.expression.confidence for face in faces],
        "expression": [[face.expression.probabilities.get(label, 0.0) for label in labels] for face in faces],
        "affect": [(face.affect.valence, face.affect.arousal) for face in faces if face.affect],
        "embedding": [face.embedding for face in faces],
    }
    for name, value in expected.items():
        if faces:
            np.testing.assert_allclose(arrays[name], value, atol=1e-4, err_msg=name)


def test_faces_are_those_of_predict(
    repository: Path, portrait: Image, crowd: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, server = load_frame_model(repository, monkeypatch)
    recognizer = Recognizer(device="cpu", precision="fp32", threads=1)
    frames = [portrait, crowd, np.zeros((120, 200, 3), np.uint8)]
    responses = model.execute([[Tensor("frame", frame)] for frame in frames])
    config, counts = config_of(repository / "mien"), []
    for frame, response in zip(frames, responses, strict=True):
        arrays, faces = response.arrays(), recognizer.predict(frame)
        assert_same(arrays, faces, recognizer.card.labels)
        assert set(arrays) == {one.name for one in config.output}
        assert not any(fits(one, arrays[one.name], batched=False) for one in config.output)
        counts.append(len(faces))
    assert counts[0] == 1
    assert counts[1] > 32
    assert counts[2] == 0
    assert max(count for _, count in server.batches) == 32, "larger batches than the student takes are cut"


def test_settings_are_those_of_the_recognizer(
    repository: Path, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = np.hstack([portrait, cv2.resize(portrait, (128, 512))])
    change(repository, "exclude", "happiness, contempt")
    change(repository, "min_confidence", "0.9")
    change(repository, "min_face", "60")
    model, _ = load_frame_model(repository, monkeypatch)
    recognizer = Recognizer(
        device="cpu", precision="fp32", threads=1, exclude=("happiness", "contempt"), min_confidence=0.9, min_face=60
    )
    (response,) = model.execute([[Tensor("frame", wide)]])
    faces = recognizer.predict(wide)
    assert faces
    assert faces[0].expression.label == "uncertain"
    assert_same(response.arrays(), faces, recognizer.card.labels)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("min_score", "1.5", "min_score is 1.5; use a value between 0 and 1"),
        ("min_face", "small", "min_face in config.pbtxt is 'small'"),
        ("min_confidence", "nan", "min_confidence in config.pbtxt is 'nan'"),
        ("exclude", "hapiness", "exclude has 'hapiness', not a label"),
    ],
)
def test_settings_that_make_no_sense_keep_the_model_from_loading(
    repository: Path, name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(repository, name, value)
    with pytest.raises(InputError, match=re.escape(told)):
        load_frame_model(repository, monkeypatch)


def test_one_frame_that_cannot_be_read_leaves_the_others(
    repository: Path, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = load_frame_model(repository, monkeypatch)
    good, bad = model.execute([[Tensor("frame", portrait)], [Tensor("frame", portrait[:0])]])
    assert len(good.arrays()["box"]) == 1
    assert bad.error().code() == "INVALID_ARG"
    assert "frame is empty" in bad.error().message()


def test_the_error_of_another_model_is_passed_on(
    repository: Path, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(repository, "crops_at_once", "64")
    model, _ = load_frame_model(repository, monkeypatch)
    (few,) = model.execute([[Tensor("frame", portrait)]])
    assert not few.has_error()
    (many,) = model.execute([[Tensor("frame", np.tile(cv2.resize(portrait, (160, 160)), (6, 8, 1)))]])
    assert many.error().message() == "mien_student: inference request batch-size must be <= 32"


def test_a_server_that_computes_something_else_is_refused(
    repository: Path, portrait: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = repository / "mien_student/1/model.onnx"
    graph = onnx.load(path)
    weights = [one for one in graph.graph.initializer if len(one.dims) >= 2]
    for one in weights[len(weights) // 2 :]:
        one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one) * np.float32(-2.0), one.name))
    onnx.save(graph, path)
    model, _ = load_frame_model(repository, monkeypatch)
    (response,) = model.execute([[Tensor("frame", portrait)]])
    assert "triton/mien_student is wrong on this machine" in response.error().message()
