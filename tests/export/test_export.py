"""From a checkpoint to a bundle that the runtime runs, with proof, and nothing half-written where it fails."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import mien_export.cli
from mien import Recognizer
from mien.align import CropSpec
from mien.bundle.card import Calibration, ModelCard, TrainingSet
from mien.errors import InputError, ModelInvalid, OutputError, SourceError
from mien.types import EXPRESSIONS
from mien_export.cli import parse_args, run
from mien_export.pack import Wanted, pack
from mien_export.parity import ParityError, compare
from mien_train.models.student import Student
from mien_train.recipe import ModelRecipe, Recipe


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained small student with a card."""
    torch.manual_seed(0)
    recipe = replace(Recipe(crop=CropSpec(64, "landmarks", 0.9)), model=ModelRecipe("mobilenetv3_small_050", ""))
    student = Student(recipe.model)
    card = ModelCard(
        name="untrained", version="0", labels=EXPRESSIONS, crop=recipe.crop, embedding=student.expression.in_features,
        backbone=recipe.model.backbone, macs=1, parameters=1, calibration=Calibration(0.7), metrics={},
        training=(TrainingSet("none", 0, "none"),), limits="for tests only", files={},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("run") / "student.pt"
    torch.save({"recipe": recipe.to_dict(), "ema": student.state_dict(), "card": json.loads(card.to_json())}, path)
    return path


def test_bundle_runs_and_agrees(checkpoint: Path, tmp_path: Path, portrait: np.ndarray) -> None:
    out = tmp_path / "bundle"
    assert run(parse_args([str(checkpoint), "-o", str(out)])) == 0
    held = ["MODEL_CARD.md", "card.json", "golden.json", "model.onnx"]
    assert sorted(p.name for p in out.iterdir()) == held
    model = onnx.load(out / "model.onnx")
    (crops,) = model.graph.input
    assert crops.name == "crops"
    assert crops.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    dims = [d.dim_param or d.dim_value for d in crops.type.tensor_type.shape.dim]
    assert isinstance(dims[0], str)
    assert dims[1:] == [64, 64, 3]
    assert [output.name for output in model.graph.output] == ["expression", "affect", "embedding"]
    assert b".py" not in (out / "model.onnx").read_bytes(), "the exporter's notes name files of this machine"
    frames = [portrait, np.hstack([portrait, portrait])]
    assert [len(faces) for faces in Recognizer(out).predict_batch(frames)] == [1, 2]
    pack(checkpoint, out, Wanted())  # a bundle may be replaced by a newer one
    assert list(tmp_path.iterdir()) == [out]


def test_parity_failure_writes_nothing_and_exits_3(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import mien_export.checkpoint as module

    real = module.run_torch

    def wrong(model: module.Deployed, crops: np.ndarray) -> tuple[np.ndarray, ...]:
        expression, affect, embedding = real(model, crops)
        return expression + 2e-4, affect, embedding

    monkeypatch.setattr(module, "run_torch", wrong)
    assert run(parse_args([str(checkpoint), "-o", str(tmp_path / "bundle")])) == 3
    assert "nothing written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [np.nan, 1e-3])
def test_parity_refuses_nan_and_small_differences(bad: float) -> None:
    right = np.zeros((2, 8), np.float32), np.zeros((2, 2), np.float32), np.zeros((2, 4), np.float32)
    assert compare(right, right).expression == 0
    for i in (0, 1):
        wrong = [part.copy() for part in right]
        wrong[i][1, 0] = bad
        with pytest.raises(ParityError):
            compare(right, tuple(wrong))  # type: ignore[arg-type]


def test_bad_input(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint"):
        pack(tmp_path / "none.pt", tmp_path / "bundle", Wanted())
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ModelInvalid):
        pack(tmp_path / "text.pt", tmp_path / "bundle", Wanted())
    state = torch.load(checkpoint, weights_only=True)
    del state["card"]
    torch.save(state, tmp_path / "unfinished.pt")
    with pytest.raises(ModelInvalid, match="fer-train finish"):
        pack(tmp_path / "unfinished.pt", tmp_path / "bundle", Wanted())
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no face found"):
        pack(checkpoint, tmp_path / "bundle", Wanted(data=(str(empty),)))
    with pytest.raises(SourceError, match="there is no file or folder"):
        run(parse_args([str(checkpoint), "-o", str(tmp_path / "bundle"), "--data", str(tmp_path / "none")]))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious")
    for out in (mine, mine / "thesis.txt"):
        with pytest.raises(OutputError, match="not a bundle"):
            pack(checkpoint, out, Wanted())
    with pytest.raises(OutputError, match="cannot write"):
        pack(checkpoint, mine / "thesis.txt" / "bundle", Wanted())
    assert (mine / "thesis.txt").read_text() == "precious"
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("opset", [17, 99])
def test_an_opset_that_torch_cannot_write_is_refused(opset: int, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--opset {opset} is not possible; give one of 18 to [1-9]"):
        run(parse_args([str(checkpoint), "-o", str(tmp_path / "bundle"), "--opset", str(opset)]))
    assert list(tmp_path.iterdir()) == []


def test_another_opset_is_written(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    assert run(parse_args([str(checkpoint), "-o", str(out), "--opset", "20"])) == 0
    assert [one.version for one in onnx.load(out / "model.onnx").opset_import if not one.domain] == [20]
    with pytest.raises(InputError, match="--opset: a bundle keeps the opset that it has"):
        run(parse_args([str(out), "-o", str(tmp_path / "again"), "--opset", "20"]))
    assert list(tmp_path.iterdir()) == [out]


def test_exporter_starts_without_torch() -> None:
    """--help and bad usage should not wait for a framework."""
    assert "torch" not in vars(mien_export.cli)
