"""Any ONNX file as a teacher, by the mapping in a TOML file."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_teacher import TEN, write_onnx

from mien.align import CropSpec
from mien.errors import InputError, ModelInvalid
from mien.types import EXPRESSIONS
from mien_train.teachers import load_teacher
from mien_train.teachers.base import TeacherOutput

CLASSES = ["anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"]
OWN = CropSpec(16, "box", 1.1, rotate=False)
CROPS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 1, 1, 3), dtype=np.uint8)).expand(6, 16, 16, 3)
"""Six crops of one color each."""


def write_toml(folder: Path, **values: object) -> Path:
    """A teacher's file of a mapping that works, but for ``values``; None leaves a key out."""
    mapping: dict[str, object] = {
        "kind": "onnx", "model": "net.onnx", "classes": CLASSES, "expression": "both[0:8]",
        "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], **values,
    }  # fmt: skip
    crop = "[crop]\nsize = 16\nanchor = 'box'\nscale = 1.1\nrotate = false\n"
    lines = [f"{key} = {json.dumps(value)}" for key, value in mapping.items() if value is not None]
    path = folder / "teacher.toml"
    path.write_text("\n".join([*lines, crop]))
    return path


def raw(bgr: bool = False) -> np.ndarray:
    """(6, 10) what the network makes of CROPS with that mean and std."""
    color = (CROPS[:, 0, 0].numpy() / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.3]
    return np.asarray((color[:, ::-1] if bgr else color) @ TEN)


def said(made: TeacherOutput) -> np.ndarray:
    """(6, 8) in the order of CLASSES."""
    return made.logits[:, [EXPRESSIONS.index(name) for name in CLASSES]].numpy()


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("batch", ["N", 4, 1])
def test_input_and_classes_are_mapped(tmp_path: Path, layout: str, channels: str, batch: int | str) -> None:
    write_onnx(tmp_path / "net.onnx", layout=layout, batch=batch)
    teacher = load_teacher(write_toml(tmp_path, layout=layout, channels=channels, valence="both[8]", arousal="both[9]"))
    made = teacher(CROPS, OWN)
    expected = raw(channels == "bgr")
    np.testing.assert_allclose(said(made), expected[:, :8], atol=1e-3)
    np.testing.assert_allclose(made.affect, expected[:, 8:].clip(-1, 1), atol=1e-3)
    assert made.embedding is None
    assert teacher.crop == OWN


def test_outputs_by_name_by_column_and_by_default(tmp_path: Path) -> None:
    write_onnx(tmp_path / "net.onnx")
    first = load_teacher(write_toml(tmp_path, expression="[0:8]", valence="[8]", arousal="color[2]", embedding="color"))
    made = first(CROPS, OWN)
    np.testing.assert_allclose(said(made), raw()[:, :8], atol=1e-3)
    assert made.embedding is not None
    np.testing.assert_allclose(made.affect[:, 1], made.embedding[:, 2].clamp(-1, 1))
    narrow = load_teacher(write_toml(tmp_path, embedding="color[1]"))(CROPS, OWN)
    assert narrow.embedding is not None
    torch.testing.assert_close(narrow.embedding, made.embedding[:, 1:2])
    three = load_teacher(write_toml(tmp_path, classes=["fear", "neutral", "anger"], expression="color"))(CROPS, OWN)
    np.testing.assert_array_equal(three.logits[:, [4, 0, 6]], made.embedding)
    assert three.logits[:, [1, 2, 3, 5, 7]].isnan().all()
    assert three.affect.isnan().all()


def test_probabilities_are_taken_as_such(tmp_path: Path) -> None:
    write_onnx(tmp_path / "net.onnx", probabilities=True)
    made = load_teacher(write_toml(tmp_path, probabilities=True))(CROPS, OWN)
    expected = np.exp(raw()[:, :8])
    probabilities = said(TeacherOutput(made.logits.softmax(1), made.affect))
    np.testing.assert_allclose(probabilities, expected / expected.sum(1, keepdims=True), atol=1e-4)


def test_crops_of_another_size_are_brought_to_its_own(tmp_path: Path) -> None:
    write_onnx(tmp_path / "net.onnx")
    teacher = load_teacher(write_toml(tmp_path))
    larger = CROPS[:, :1, :1].expand(6, 40, 40, 3)
    np.testing.assert_allclose(said(teacher(larger, CropSpec(40, "landmarks", 0.9))), raw()[:, :8], atol=1e-3)


def test_identity_follows_weights_crop_and_mapping(tmp_path: Path) -> None:
    def identity(**values: object) -> str:
        return load_teacher(write_toml(tmp_path, **values)).identity

    write_onnx(tmp_path / "net.onnx")
    plain = identity()
    assert plain == identity()
    mapped = [identity(**{k: v}) for k, v in (("channels", "bgr"), ("classes", CLASSES[::-1]), ("valence", "[8]"))]
    text = write_toml(tmp_path).read_text()
    (tmp_path / "teacher.toml").write_text(text.replace("scale = 1.1", "scale = 1.2"))
    closer = load_teacher(tmp_path / "teacher.toml").identity
    write_onnx(tmp_path / "net.onnx", probabilities=True)
    assert len({plain, *mapped, closer, identity()}) == 6


def test_identity_does_not_depend_on_where_the_file_lies(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    write_onnx(tmp_path / "a/net.onnx")
    write_toml(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.copytree(tiny_bundle, tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    teachers = [load_teacher(path) for path in ("a/teacher.toml", tmp_path / "a/teacher.toml", "b/teacher.toml")]
    assert len({teacher.identity for teacher in teachers}) == 1
    assert load_teacher("tiny").identity == load_teacher(tiny_bundle).identity


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "none.onnx"}, r"no teacher at .*none\.onnx"),
        ({"classes": ["joy"]}, "must be different ones of neutral"),
        ({"classes": ["fear", "fear"]}, "must be different"),
        ({"layout": "chw"}, "layout is"),
        ({"channels": "gray"}, "channels are"),
        ({"std": [1.0, 1.0]}, "three values"),
        ({"std": [1.0, 1.0, 0.0]}, "above 0"),
        ({"mean": "no"}, "list of numbers"),
        ({"color": "rgb"}, "unknown key color"),
        ({"expression": None}, "incomplete.*expression"),
        ({"probabilities": 1}, "probabilities must be bool"),
    ],
)
def test_a_wrong_file_is_refused_when_it_is_read(tmp_path: Path, values: dict[str, object], message: str) -> None:
    write_onnx(tmp_path / "net.onnx")
    with pytest.raises(InputError, match=message):
        load_teacher(write_toml(tmp_path, **values))


beyond = pytest.param({"valence": "both[12]"}, "affect")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"expression": "both"}, r"gives 10 columns for 8 classes; write for example both\[0:8\]"),
        ({"expression": "both[4:12]"}, "gives 6 columns for 8 classes"),
        ({"expression": "both[0:8"}, "is not an output; they are both, color"),
        ({"expression": "logits"}, "is not an output"),
        ({"valence": "va[0]"}, r"affect = 'va\[0\]' is not an output"),
        ({"embedding": "features"}, "embedding = 'features' is not an output"),
        ({"layout": "nhwc"}, r"refuses crops of shape \(6, 16, 16, 3\)"),
        beyond,
    ],
)
def test_a_mapping_that_does_not_fit_the_network_is_refused(
    tmp_path: Path, values: dict[str, object], message: str
) -> None:
    write_onnx(tmp_path / "net.onnx")
    teacher = load_teacher(write_toml(tmp_path, **values))
    with pytest.raises(InputError, match=message):
        teacher(CROPS, OWN)


def test_a_broken_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelInvalid, match="not a readable ONNX model"):
        load_teacher(write_toml(tmp_path))
