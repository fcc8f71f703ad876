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

import mien_train.loop.run_folder
import mien_train.supervised.trainer
from mien.bundle.card import card_from_dict
from mien.errors import InputError, ModelInvalid
from mien.types import EXPRESSIONS
from mien_train.cli import parse_args, run
from mien_train.models.checkpoints import load_checkpoint, load_student
from mien_train.recipe import DistillRecipe, Recipe
from mien_train.supervised.trainer import train


def test_a_student_learns_and_its_card_says_so(teacher: Path, data: Path, tmp_path: Path) -> None:
    state = load_checkpoint(teacher)
    card = card_from_dict(state["card"])
    assert card.metrics["ferplus/test"]["accuracy"] > 0.7  # eight tints of one face; chance is 0.125
    assert 0 < card.macs < 300e6
    assert {item.name for item in card.training} >= {"ferplus/train", "rafdb/train"}
    validated = "validation/ferplus/validation"
    scores = [row[validated] for row in state["history"] if validated in row]
    assert len(scores) == 5  # at the end of every epoch of eight steps
    assert scores[-1] > scores[0]

    out = tmp_path / "evaluation"
    assert run(parse_args(["evaluate", str(teacher), "--data", str(data), "-o", str(out)])) == 0
    figures = json.loads((out / "evaluation.json").read_text())["figures"]
    assert figures["rafdb/test"] == card.metrics["rafdb/test"]
    assert figures["affectnet-va/train, 5-fold"] == card.metrics["affectnet-va/train, 5-fold"]
    assert (out / "evaluation.png").stat().st_size > 10_000


@pytest.mark.parametrize("taught", [False, True], ids=["labels", "distilled with features"])
def test_a_killed_run_resumes_to_the_same_weights(
    taught: bool, data: Path, recipe: Recipe, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if taught:
        mixing = replace(recipe.optim, mix=0.5)
        recipe = replace(recipe, distill=DistillRecipe(teacher=str(teacher), features=1.0), optim=mixing)
    whole = load_checkpoint(train(recipe, data, tmp_path / "whole", threads=1))

    class Killed(Exception):
        pass

    objective = mien_train.supervised.trainer.Objective
    real, calls = objective.forward, []

    def dies(*arguments: object) -> object:
        calls.append(1)
        if len(calls) > 6:
            raise Killed
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(mien_train.loop.run_folder, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(objective, "forward", dies)
    with pytest.raises(Killed):
        train(recipe, data, tmp_path / "parts", threads=1)
    monkeypatch.setattr(objective, "forward", real)
    with pytest.raises(InputError, match="--resume"):
        train(recipe, data, tmp_path / "parts", threads=1)
    with pytest.raises(InputError, match="another recipe"):
        train(replace(recipe, seed=1), data, tmp_path / "parts", resume=True, threads=1)
    if taught:
        teachers = [teacher.read_bytes(), teacher.with_name("unfinished.pt").read_bytes()]
        teacher.write_bytes(teachers[1])
        with pytest.raises(InputError, match="began otherwise"):
            train(recipe, data, tmp_path / "parts", resume=True, threads=1)
        teacher.write_bytes(teachers[0])
    parts = load_checkpoint(train(recipe, data, tmp_path / "parts", resume=True, threads=1))
    assert parts["step"] == whole["step"]
    for name, tensor in whole["ema"].items():
        torch.testing.assert_close(parts["ema"][name], tensor, msg=name)


def test_steps_are_counted_whatever_the_epochs(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    optim = replace(recipe.optim, epochs=9, steps=3)
    for name, sets in (("one", ("rafdb/train",)), ("two", ("rafdb/train", "ferplus/train"))):
        short = replace(recipe, optim=optim, data=replace(recipe.data, train=sets, validation=(), holdout=0.0))
        state = load_checkpoint(train(short, data, tmp_path / name, threads=1))
        assert state["step"] == 3
        last = load_checkpoint(tmp_path / name / "last.pt")
        assert last["schedule"]["last_epoch"] == 3
        assert last["schedule"]["_last_lr"] == [0, 0]  # the cosine ends with the steps


def test_a_run_goes_on_from_a_checkpoint(data: Path, recipe: Recipe, teacher: Path, tmp_path: Path) -> None:
    optim = replace(recipe.optim, steps=1, rate=1e-9)
    short = replace(recipe, model=replace(recipe.model, weights=str(teacher)), optim=optim)
    after, before = (load_student(path)[0] for path in (train(short, data, tmp_path / "run", threads=1), teacher))
    torch.testing.assert_close(after.expression.weight, before.expression.weight, atol=1e-6, rtol=0)


def test_weights_of_another_network_are_refused(data: Path, recipe: Recipe, teacher: Path, tmp_path: Path) -> None:
    other = replace(recipe.model, backbone="test_resnet", weights=str(teacher))
    with pytest.raises(InputError, match="test_resnet"):
        train(replace(recipe, model=other), data, tmp_path / "run", threads=1)


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


@pytest.mark.usefixtures("few_resamples")
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
    assert "Valence and arousal were not learned" in state["card"]["limits"]
    assert student.affect.weight.abs().sum() == 0
    (figures,) = state["card"]["metrics"].values()
    assert set(figures["recall"]) <= set(EXPRESSIONS[:3])
    assert student.log_temperature.weight.abs().max() < 1e-3  # a handful of images: one temperature for all
    assert (out / "student.png").stat().st_size > 10_000


def test_a_lean_install_is_told_what_training_needs() -> None:
    code = "import sys; sys.modules['torch'] = None; sys.argv = ['fer-train', 'evaluate', 'x.pt']\n"
    code += "from mien_train.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert 'pip install "mien[cpu,train]"' in result.stderr
    assert "Traceback" not in result.stderr
