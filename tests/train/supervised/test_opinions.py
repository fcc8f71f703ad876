"""Soft labels for faces without one, by a reader of raters' votes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.errors import InputError
from mien_train.data.sets import load_with_landmarks
from mien_train.models.checkpoints import load_student
from mien_train.recipe import Recipe
from mien_train.supervised.opinions import CONTEMPT, HAPPINESS, OpinionClassifier, with_opinions

RATED, SINGLE, BLANK = "ferplus/train", "affectnet-subset/test", "unlabelled/train"


def asking(recipe: Recipe, *sets: str) -> Recipe:
    return replace(recipe, data=replace(recipe.data, train=(RATED, *sets), raters=(RATED,)))


def test_a_reader_learns_shares_and_tells_no_contempt() -> None:
    rng = np.random.default_rng(0)
    target = rng.dirichlet(np.ones(8), 600).astype(np.float32)
    target[:, CONTEMPT] = 0
    target /= target.sum(1, keepdims=True)
    embedding = np.log(target + 1e-3) @ rng.normal(size=(8, 20)).astype(np.float32)
    told = OpinionClassifier(embedding, target, np.ones(600, np.float32))(embedding)
    assert np.all(told[:, CONTEMPT] == 0)
    assert told.sum(1) == pytest.approx(1, abs=1e-4)
    assert np.abs(told - target).mean() < 0.03


def test_faces_without_a_label_get_one_and_contempt_gives_way_to_happiness(
    teacher: Path, data: Path, tmp_path: Path
) -> None:
    student, recipe, _ = load_student(teacher)
    recipe = asking(recipe, SINGLE, BLANK)
    sets = [load_with_landmarks(name, data) for name in recipe.data.train]
    rated, single, blank = (item.faces for item in with_opinions(student, sets, recipe, tmp_path / "kept.npz"))
    np.testing.assert_array_equal(rated.soft, sets[0].faces.soft)
    told = blank.soft.argmax(1)
    truth = np.tile(np.arange(8), 8)  # the tints; the reader cannot tell the eighth
    assert (told == truth)[truth != CONTEMPT].mean() > 0.7
    contempt = single.expression == CONTEMPT
    assert np.isnan(single.soft[~contempt]).all(), "other labels of one annotator stand"
    assert single.soft[contempt][:, [HAPPINESS, CONTEMPT]].sum(1) == pytest.approx(1)


def test_a_resumed_run_learns_what_was_read_before(teacher: Path, data: Path, tmp_path: Path) -> None:
    student, recipe, _ = load_student(teacher)
    recipe, kept = asking(recipe, BLANK), tmp_path / "kept.npz"
    sets = [load_with_landmarks(name, data) for name in recipe.data.train]
    before = with_opinions(student, sets, recipe, kept)[1].faces.soft
    student.expression.reset_parameters()
    for parameter in student.backbone.parameters():
        parameter.data.mul_(0.5)
    np.testing.assert_array_equal(with_opinions(student, sets, recipe, kept)[1].faces.soft, before)
    with pytest.raises(InputError, match="other training images"):
        with_opinions(student, [sets[0], sets[1].sample(5, 0)], recipe, kept)
    with pytest.raises(InputError, match="another recipe"):
        with_opinions(student, sets, replace(recipe, seed=recipe.seed + 1), kept)


def test_raters_that_are_not_trained_on_are_refused(teacher: Path, data: Path, tmp_path: Path) -> None:
    student, recipe, _ = load_student(teacher)
    wrong = replace(recipe, data=replace(recipe.data, raters=("rafdb/test",)))
    with pytest.raises(InputError, match=r"data\.raters"):
        with_opinions(student, [load_with_landmarks(RATED, data)], wrong, tmp_path / "kept.npz")
