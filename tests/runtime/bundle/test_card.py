import json
from pathlib import Path

import pytest

from mien.bundle import find_bundle
from mien.bundle.card import read_card
from mien.errors import EngineUnavailable, ModelInvalid, ModelNotFound


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "card.json"
    values = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            del values[key]
        else:
            values[key] = value
    path.write_text(json.dumps(values))


def test_card_survives_its_own_json(bundle_copy: Path) -> None:
    card = read_card(bundle_copy)
    (bundle_copy / "card.json").write_text(card.to_json())
    assert read_card(bundle_copy) == card


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"color": "red"}, "unknown key color"),
        ({"labels": None}, "key labels is missing"),
        ({"labels": "neutral"}, "labels has a value of the wrong type"),
        ({"labels": ["a", "a"]}, "at least two different"),
        ({"format": 99}, "format 99"),
        ({"crop": {"size": 112, "angle": 1}}, "unknown key crop.angle"),
        ({"crop": {"size": 1}}, "crop"),
        ({"crop": {"size": 112, "anchor": "nose"}}, "nose"),
        ({"crop": 3}, "crop. must be an object"),
        ({"macs": True}, "macs"),
        ({"files": {"../../etc/passwd": "0"}}, "in the card's folder"),
    ],
)
def test_a_card_that_is_not_understood_is_refused_by_name(bundle_copy: Path, changes: dict, message: str) -> None:
    rewrite(bundle_copy, **changes)
    with pytest.raises(ModelInvalid, match=message):
        read_card(bundle_copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\x00"])
def test_a_card_that_is_not_json_is_refused(bundle_copy: Path, text: str) -> None:
    (bundle_copy / "card.json").write_text(text)
    with pytest.raises(ModelInvalid):
        read_card(bundle_copy)


def test_altered_model_is_refused(bundle_copy: Path) -> None:
    path = bundle_copy / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelInvalid, match="altered"):
        find_bundle(bundle_copy).model_file()


def test_missing_model_file_is_named(bundle_copy: Path) -> None:
    (bundle_copy / "model.onnx").unlink()
    with pytest.raises(ModelInvalid, match=r"model\.onnx is missing"):
        find_bundle(bundle_copy).model_file()


def test_missing_precision_says_what_there_is(bundle_copy: Path) -> None:
    with pytest.raises(EngineUnavailable, match="holds fp32"):
        find_bundle(bundle_copy).model_file("int8")
    with pytest.raises(EngineUnavailable, match="unknown precision"):
        find_bundle(bundle_copy).model_file("int3")


def test_unknown_model_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="default"):
        find_bundle("no-such-model")
    with pytest.raises(ModelInvalid, match="fer-export"):
        find_bundle(tmp_path)
