"""Distillation on made-up data: a student learns from a teacher what no label tells it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.errors import InputError
from mien_train.data.batches import TrainingFaces
from mien_train.data.sets import load_with_landmarks
from mien_train.evaluation.predict import Predictions, predict, predict_teacher
from mien_train.models.checkpoints import load_checkpoint, load_student
from mien_train.recipe import DistillRecipe, Recipe
from mien_train.supervised.trainer import train
from mien_train.teachers import load_teacher
from mien_train.teachers.cache import write_cache


def distilled(recipe: Recipe, root: Path, out: Path, **changes: object) -> tuple[Predictions, dict[str, object]]:
    """What the trained student says of the test set, and its state."""
    student, _, _ = load_student(train(replace(recipe, **changes), root, out, threads=1))  # type: ignore[arg-type]
    return predict(student, load_with_landmarks("ferplus/test", root), recipe.crop), load_checkpoint(out / "last.pt")


@pytest.fixture(scope="module")
def said(teacher: Path, data: Path) -> Predictions:
    return predict_teacher(load_teacher(teacher), load_with_landmarks("ferplus/test", data))


@pytest.mark.parametrize("way", ["online", "cached"])
def test_a_student_learns_from_faces_without_labels(
    way: str, data: Path, recipe: Recipe, teacher: Path, said: Predictions, tmp_path: Path
) -> None:
    """No label, no valence and arousal: all that this student knows at the end its teacher told it."""
    sets = ("unlabelled/train",)
    how = DistillRecipe(str(teacher), alpha=0.9)
    if way == "cached":
        for name in sets:
            write_cache(load_teacher(teacher), load_with_landmarks(name, data), tmp_path / "cache")
        how = replace(how, cache=str(tmp_path / "cache"))
    optim = replace(recipe.optim, steps=40, affect_weight=2.0)
    made, _ = distilled(recipe, data, tmp_path / "run", data=replace(recipe.data, train=sets), distill=how, optim=optim)
    assert (made.logits.argmax(1) == said.logits.argmax(1)).mean() > 0.6  # chance is about an eighth
    valence = np.corrcoef(made.predicted_affect[:, 0], said.predicted_affect[:, 0])[0, 1]
    assert valence > 0.5


def test_sets_with_and_without_labels_and_affect_go_together(
    data: Path, recipe: Recipe, teacher: Path, tmp_path: Path
) -> None:
    mixed = replace(recipe.data, train=("ferplus/train", "affectnet-va/train", "unlabelled/train"))
    how = DistillRecipe(str(teacher), features=1.0)
    optim = replace(recipe.optim, steps=20)
    _, state = distilled(recipe, data, tmp_path / "run", data=mixed, distill=how, optim=optim)
    (row,) = [row for row in state["history"] if "train/loss" in row]  # type: ignore[attr-defined]
    assert all(np.isfinite(value) for value in row.values())
    assert 0 < row["train/features"] < 1
    assert row["train/affect"] > 0
    assert set(state["objective"]) == {"hint.map.weight", "hint.map.bias"}  # type: ignore[call-overload]
    hint = state["objective"]["hint.map.weight"].shape  # type: ignore[index]
    assert hint in [moments["exp_avg"].shape for moments in state["optimizer"]["state"].values()]  # type: ignore[index]


def test_unlabeled_faces_are_drawn_only_where_a_teacher_labels_them(data: Path, recipe: Recipe) -> None:
    sets = [load_with_landmarks(name, data) for name in ("rafdb/train", "unlabelled/train")]
    training = TrainingFaces(sets, recipe.crop, recipe.augment, 0.1)
    alone, taught = (training.draw_weights(0.5, unlabeled=flag) for flag in (False, True))
    assert alone[56:].sum() == 0
    np.testing.assert_allclose(taught[:56], alone[:56])
    np.testing.assert_allclose(taught[56:], 1)  # as often as the mean labeled face
    assert alone[:56].sum() == pytest.approx(56)


def test_a_teacher_that_does_not_fit_the_recipe_is_refused(
    data: Path, recipe: Recipe, teacher: Path, tmp_path: Path
) -> None:
    written = tmp_path / "ensemble.toml"
    written.write_text(f'kind = "ensemble"\nmembers = ["{teacher}"]\n')
    short = replace(recipe, optim=replace(recipe.optim, steps=1))
    with pytest.raises(InputError, match="this teacher gives no features"):
        train(replace(short, distill=DistillRecipe(str(written), features=1.0)), data, tmp_path / "a", threads=1)
    only = replace(short, data=replace(short.data, train=("rafdb/train",)))
    write_cache(load_teacher(written), load_with_landmarks("rafdb/train", data), tmp_path / "outputs")
    featureless = DistillRecipe(str(written), cache=str(tmp_path / "outputs"), features=1.0)
    with pytest.raises(InputError, match="this teacher gives no features"):
        train(replace(only, distill=featureless), data, tmp_path / "d", threads=1)
    cached = DistillRecipe(str(teacher), cache=str(tmp_path / "cache"))
    with pytest.raises(InputError, match="fer-train cache TEACHER ferplus/train"):
        train(replace(short, distill=cached), data, tmp_path / "b", threads=1)
    with pytest.raises(InputError, match="no checkpoint at"):
        train(replace(short, distill=DistillRecipe(str(tmp_path / "none.pt"))), data, tmp_path / "c", threads=1)
    assert not list(tmp_path.glob("*/*.pt"))


def test_labels_alone_cannot_learn_from_faces_without(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    nothing = replace(recipe.data, train=("unlabelled/train",))
    with pytest.raises(InputError):
        train(replace(recipe, data=nothing, optim=replace(recipe.optim, steps=1)), data, tmp_path / "run", threads=1)
