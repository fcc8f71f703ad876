"""Training on from a bundle: the packaged model's weights come back exactly."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from mien.bundle import find_bundle
from mien.errors import InputError, ModelInvalid
from mien.types import EXPRESSIONS
from mien_export.checkpoint import Deployed, run_torch
from mien_export.cli import parse_args as export_args
from mien_export.cli import run as export
from mien_train.cli import parse_args, run
from mien_train.continual.network import load_grown
from mien_train.data.sets import load_sets
from mien_train.models.from_onnx import is_bundle, load_start, load_trained
from mien_train.models.short_mobilenet import SHORT
from mien_train.models.start import start_student
from mien_train.recipe import ModelRecipe, Recipe

ort = pytest.importorskip("onnxruntime")


@pytest.fixture
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)


def test_the_packaged_model_computes_the_same_in_torch(crops: np.ndarray) -> None:
    student, recipe, state = load_trained("default")
    file = find_bundle().model_file()
    for ours, theirs in zip(
        run_torch(Deployed(student).eval(), crops),
        ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"crops": crops}),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=5e-5)
    assert recipe.crop == find_bundle().card.crop
    assert "rafdb/train" in recipe.data.train
    assert not [name for name in recipe.data.train if "affect head" in name]
    assert "bundle" in state["origin"]


def test_a_bundle_of_ones_own_goes_there_and_back(teacher: Path, crops: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    assert export(export_args([str(teacher), "-o", str(folder)])) == 0
    assert is_bundle(folder)
    there, _, _ = load_trained(teacher)
    back, _, state = load_trained(folder)
    for a, b in zip(run_torch(Deployed(there).eval(), crops), run_torch(Deployed(back).eval(), crops), strict=True):
        np.testing.assert_allclose(a, b, atol=5e-5)
    assert state["card"]["backbone"] == "test_efficientnet"


def test_compounds_come_back_too(crops: np.ndarray, tmp_path: Path) -> None:
    names = ("sadly angry", "fearfully surprised")
    state = load_start("default")
    card = state["card"] | {"labels": [*state["card"]["labels"], *names], "files": {}, "proofs": {}, "temporal": {}}
    weight = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, card["embedding"])).astype(np.float32))
    compounds = {"names": list(names), "weight": weight, "bias": torch.tensor([0.5, -0.5])}
    torch.save(state | {"card": card, "compounds": compounds}, tmp_path / "continual.pt")
    assert export(export_args([str(tmp_path / "continual.pt"), "-o", str(tmp_path / "bundle")])) == 0
    (there, _, head, labels), (back, _, again, same) = (
        load_grown(tmp_path / name) for name in ("continual.pt", "bundle")
    )
    assert same == labels == (*EXPRESSIONS, *names)
    with torch.inference_mode():
        first, second = head(there(torch.from_numpy(crops)).embedding), again(back(torch.from_numpy(crops)).embedding)
    np.testing.assert_allclose(first, second, atol=5e-4)


def test_training_starts_where_the_bundle_stands(data: Path, recipe: Recipe) -> None:
    """Batch norms have the statistics of the training images, so training mode computes about the same."""
    how = replace(
        recipe,
        crop=replace(recipe.crop, size=112),
        model=ModelRecipe(backbone="mobilenetv1_100", weights="default", dropout=0.0, drop_path=0.0),
    )
    training, _ = load_sets(how, data)
    student, origin = start_student(how, training)
    packaged, _, _ = load_trained("default")
    faces = torch.from_numpy(np.stack([training[0].crop(i, how.crop) for i in range(len(training[0].faces))]))
    with torch.no_grad():
        wanted = packaged(faces).logits
        assert torch.allclose(student.eval()(faces).logits, wanted, atol=1e-3)
        assert (student.train()(faces).logits - wanted).abs().mean() < 0.3 * wanted.std()
    assert "default" in origin


def test_the_short_network_starts_from_the_layers_that_it_shares(data: Path, recipe: Recipe) -> None:
    how = replace(
        recipe,
        crop=replace(recipe.crop, size=64),
        model=ModelRecipe(backbone=SHORT, weights="default", dropout=0.0, drop_path=0.0),
    )
    training, _ = load_sets(how, data)
    student, _ = start_student(how, training)
    packaged, _, _ = load_trained("default")
    shared, whole = dict(student.backbone.named_parameters()), dict(packaged.backbone.named_parameters())
    assert shared.keys() < whole.keys()
    assert all(torch.equal(value, whole[name]) for name, value in shared.items() if ".conv" in name)
    faces = torch.from_numpy(np.stack([training[0].crop(i, how.crop) for i in range(2)]))
    assert student(faces).embedding.shape == (2, 512)
    with pytest.raises(InputError, match=r"default does not fit test_efficientnet"):
        start_student(replace(how, model=replace(how.model, backbone="test_efficientnet")), training)


def test_another_backbone_is_told_what_to_set(data: Path, recipe: Recipe) -> None:
    how = replace(recipe, model=replace(recipe.model, weights="default"))
    with pytest.raises(InputError, match=r"default does not fit test_efficientnet.*mobilenetv1_100.*model\.backbone"):
        start_student(how, load_sets(how, data)[0])


def test_a_file_of_other_making_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(find_bundle().folder, folder)
    model = onnx.load(folder / "model.onnx")
    for item in model.graph.initializer:
        if item.name.endswith("blocks.2.0.conv_dw.weight_bias"):
            item.name = "renamed"
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(ModelInvalid, match="sha256"):
        load_trained(folder)
    card = json.loads((folder / "card.json").read_text())
    card["files"]["model.onnx"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelInvalid, match="cannot be trained on"):
        load_trained(folder)


def test_a_bundle_explains_itself(tmp_path: Path, portrait: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), portrait)
    assert run(parse_args(["explain", "default", str(picture), "-o", str(tmp_path / "maps.png")])) == 0
    assert "happiness" in capsys.readouterr().out
    assert (tmp_path / "maps.png").stat().st_size > 10_000
