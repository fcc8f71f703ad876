"""The ablation: arms that differ in their part alone, for the same number of steps, and nothing done twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mien_train.supervised.ablate
from mien.errors import InputError
from mien_train.models.checkpoints import load_checkpoint, recipe_of
from mien_train.recipe import DistillRecipe, Recipe
from mien_train.supervised.ablate import ARMS, UNLABELED, ablate, arm_recipe, as_markdown

pytestmark = pytest.mark.usefixtures("few_resamples")
STEPS = 4


@pytest.fixture
def taught(recipe: Recipe, teacher: Path) -> Recipe:
    """A recipe with all that an ablation takes apart."""
    sets = replace(recipe.data, train=("ferplus/train", "rafdb/train", UNLABELED), validation=())
    how = DistillRecipe(str(teacher), alpha=0.7)
    return replace(recipe, data=sets, distill=how, optim=replace(recipe.optim, steps=STEPS))


def test_arms_differ_in_their_part_alone(taught: Recipe) -> None:
    labels, kd, bound, unlabeled = (arm_recipe(taught, arm, 3) for arm in ARMS)
    assert unlabeled == replace(taught, seed=3)
    assert replace(unlabeled, data=bound.data) == bound
    assert bound.data.train == kd.data.train == labels.data.train == ("ferplus/train", "rafdb/train")
    assert replace(bound, distill=kd.distill) == kd
    assert (bound.distill, kd.distill.affect) == (replace(kd.distill, affect=True), False)
    assert replace(kd, distill=DistillRecipe()) == labels


def test_two_arms_and_seeds(taught: Recipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = ("labels", "kd+bound+unlabelled")
    table = ablate(taught, data, tmp_path, seeds=2, arms=arms)
    assert tuple(table) == arms
    assert list(table["labels"]) == list(table[arms[1]])
    for name in ("ferplus/test", "rafdb/test", "mean of the sets", "5-fold ccc_valence", "trained head rmse_arousal"):
        assert len(table["labels"][name]) == 2
    sets = [table["labels"][name][1] for name in ("ferplus/test", "rafdb/test")]
    assert table["labels"]["mean of the sets"][1] == pytest.approx(np.mean(sets))
    for arm in arms:
        for seed in range(2):
            state = load_checkpoint(tmp_path / f"{arm}-{seed}" / "student.pt")
            assert state["step"] == STEPS
            assert recipe_of(state) == arm_recipe(taught, arm, seed)

    # What is done is kept: of four runs only the one whose figures are gone is measured again, and none is trained.
    (tmp_path / "labels-1" / "figures.json").unlink()
    measured = []
    real = mien_train.supervised.ablate.measure
    monkeypatch.setattr(
        mien_train.supervised.ablate, "measure", lambda path, root: measured.append(path) or real(path, root)
    )
    monkeypatch.setattr("mien_train.supervised.trainer.Objective.forward", lambda *_: pytest.fail("trained twice"))
    assert ablate(taught, data, tmp_path, seeds=2, arms=arms) == table
    assert measured == [tmp_path / "labels-1" / "student.pt"]


def test_figures_of_another_recipe_are_not_taken(taught: Recipe, data: Path, tmp_path: Path) -> None:
    ablate(taught, data, tmp_path, seeds=1, arms=("labels",))
    longer = replace(taught, optim=replace(taught.optim, steps=STEPS + 1))
    with pytest.raises(InputError, match="another recipe"):
        ablate(longer, data, tmp_path, seeds=1, arms=("labels",))


def test_what_cannot_be_ablated_is_refused_before_any_training(
    taught: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mien_train.supervised.ablate, "train", lambda *_, **__: pytest.fail("trained first"))
    with pytest.raises(InputError, match=r"needs distill\.teacher"):
        ablate(replace(taught, distill=DistillRecipe()), None, tmp_path)
    with pytest.raises(InputError, match=r"optim\.steps"):
        ablate(replace(taught, optim=replace(taught.optim, steps=0)), None, tmp_path)
    with pytest.raises(InputError, match="unknown arm 'kd\\+luck'; they are labels, kd"):
        ablate(taught, None, tmp_path, arms=("labels", "kd+luck"))


def test_the_table_gives_mean_and_spread_over_the_seeds() -> None:
    table = {"labels": {"rafdb/test": [0.5, 0.7], "5-fold ccc_valence": [0.1, 0.1]}}
    table["kd"] = {"rafdb/test": [0.6, 0.9], "5-fold ccc_valence": [0.2, 0.4]}
    assert as_markdown(table).splitlines() == [
        "| measure | labels | kd |",
        "|---|---|---|",
        "| rafdb/test | 0.6000 ± 0.1414 | 0.7500 ± 0.2121 |",
        "| 5-fold ccc_valence | 0.1000 ± 0.0000 | 0.3000 ± 0.1414 |",
    ]


@pytest.mark.filterwarnings("ignore")
def test_one_seed_has_no_spread() -> None:
    assert "nan" not in as_markdown({"labels": {"rafdb/test": [0.5]}})
