"""Tests of the comparison of the parts of a training: what each arm has, and what is told of several seeds."""

import pytest

from benchmarks.accuracy.parts import ARMS, LONGER, OLD, arm_recipe, summary
from mien_train.recipe import load_recipe, recipes_folder


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(recipes_folder() / "ablation-sets.toml")


def test_each_arm_has_one_part_more(recipe):
    arms = [arm_recipe(recipe, arm, 7) for arm in ARMS]
    labels, sets, taught, _longer = arms
    assert {arm.seed for arm in arms} == {7}
    assert set(labels.data.shares) == set(OLD)
    assert set(sets.data.shares) - set(OLD) == {"cfee/train", "taiwan/train", "expw/train"}
    assert not labels.distill.teacher
    assert not sets.distill.teacher
    assert taught.distill == recipe.distill
    assert taught.data.train == recipe.data.train
    assert [arm.optim.steps // recipe.optim.steps for arm in arms] == [1, 1, 1, LONGER]
    assert [bool(arm.data.calibration) for arm in arms] == [False, False, False, True]


def test_a_set_that_calibration_learns_from_is_in_no_training(recipe):
    assert not set(recipe.data.calibration) & set(recipe.data.shares)


def test_means_and_deviations_over_seeds_with_the_mean_and_the_worst_set():
    rows = [
        {"accuracy": {"a": 0.6, "b": 0.8}, "calibration error": {"a": 0.1, "b": 0.02}},
        {"accuracy": {"a": 0.8, "b": 0.8}, "calibration error": {"a": 0.1, "b": 0.3}},
    ]
    told = summary(rows)
    assert told["accuracy"]["a"] == [0.7, 0.1414]
    assert told["accuracy"]["mean"] == [0.75, 0.0707]
    assert told["calibration error"]["worst"] == [0.2, 0.1414]
