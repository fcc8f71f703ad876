"""CFEE's protocol: all its classes, rivals with settings of their own, known and unknown people, figures by class."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_compounds import COMPOUNDS, NAMES, write_named
from tiny_teacher import write_checkpoint

from mien.align import CropSpec
from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.cli import parse_args, run
from mien_train.continual.by_class import by_class
from mien_train.continual.compare import Run, differences, ends_at_loss, one_run, table_of
from mien_train.continual.features import Bank
from mien_train.continual.folds import FOLDS, sides
from mien_train.continual.learner import METHODS, Learner
from mien_train.continual.network import Tail, cut, grown_state
from mien_train.continual.recipe import ClassesRecipe, ContinualRecipe, LearnRecipe, MemoryRecipe
from mien_train.continual.sets import load_learning
from mien_train.continual.variants import variant_of
from mien_train.models.checkpoints import load_checkpoint
from mien_train.models.student import Student
from mien_train.recipe import ModelRecipe

EACH = 10


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    return Student(ModelRecipe(backbone="test_efficientnet", weights="", drop_path=0.0))


@pytest.fixture(scope="module")
def recipe() -> ContinualRecipe:
    learn = LearnRecipe(epochs=2, steps=3, batch=24, rate=2e-3, caution=0.0, precision="no")
    return ContinualRecipe(0, ClassesRecipe(COMPOUNDS), MemoryRecipe(size=40), learn)


@pytest.fixture(scope="module")
def basic(student: Student) -> Tail:
    return cut(student, 1)[1]


@pytest.fixture(scope="module")
def bank(student: Student, basic: Tail) -> Bank:
    crops = torch.randint(0, 256, (len(NAMES) * EACH, 32, 32, 3), dtype=torch.uint8)
    features = cut(student, 1)[0](crops)
    with torch.no_grad():
        taught = basic(features)[0]
    label = np.tile(np.arange(len(NAMES)), EACH)
    return Bank(features.repeat(2, 1, 1, 1, 1), taught.repeat(2, 1, 1), label)


def test_a_class_starts_nearer_to_its_stronger_expression(student: Student) -> None:
    tail = cut(student, 1)[1]
    anger, disgust = (tail.head.weight[EXPRESSIONS.index(name)].detach() for name in ("anger", "disgust"))
    for name, share in (("angrily disgusted", 1 / 2), ("hatred", 2 / 3), ("appalled", 1 / 3)):
        tail.grow(name)
        assert torch.allclose(tail.head.weight[-1], share * anger + (1 - share) * disgust, atol=1e-6), name


def test_no_block_at_all_leaves_the_head(student: Student) -> None:
    crops = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    trunk, tail = cut(student, 0)
    with torch.no_grad():
        assert torch.allclose(tail(trunk(crops))[0], student.eval()(crops).logits, atol=1e-5)
    learned = {name.partition(".")[0] for name, _ in tail.blocks.named_parameters()}
    assert learned == {"0", "1"}  # the layer and the norm between the blocks and the head
    tail.grow("sadly angry")
    with torch.no_grad():
        tail.blocks[0].weight += 1
    state = grown_state({}, student, tail, ["sadly angry"], 0.0)
    assert torch.equal(state["ema"]["backbone.conv_head.weight"], tail.blocks[0].weight)


def test_a_variant_has_its_own_settings_and_nothing_that_all_share(recipe: ContinualRecipe) -> None:
    method, changed = variant_of("at once:learn.rate=0.5,memory.grows=true", recipe)
    assert method == METHODS["at once"]
    assert (changed.learn.rate, changed.memory.grows) == (0.5, True)
    assert variant_of("random", recipe).recipe == recipe
    for wrong in ("psmr:learn.blocks=2", "psmr:classes.basic=3", "psmr:seed=1"):
        with pytest.raises(InputError, match="is the same for all methods; use --set"):
            variant_of(wrong, recipe)


def test_all_at_once_draws_every_class_equally_often_for_as_many_steps(
    basic: Tail, bank: Bank, recipe: ContinualRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = Learner(basic, bank, recipe, METHODS["at once"], 0)
    drawn = []
    real = learner._draw
    monkeypatch.setattr(learner, "_draw", lambda fresh: drawn.append(real(fresh)) or drawn[-1])
    learner.learn_together(list(COMPOUNDS), [8, 9])
    assert len(drawn) == 2 * 3 * 2
    counts = np.bincount(bank.label[np.concatenate(drawn)], minlength=len(NAMES))
    assert counts.min() >= 0.5 * counts.mean()
    made = one_run(basic, bank, bank, recipe, "at once", 0)
    assert (made.stages[1] == -1).all()  # there is no first new class in it
    assert (made.stages[-1] >= 0).all()
    table = table_of({"at once": [made]}, bank.label)["at once"]
    assert table["course"]["all"][1] is None
    assert table["figures"]["forgetting"]["mean"] == 0


def test_with_known_people_every_image_is_tested_once_in_five_runs_and_hidden_then(
    basic: Tail, bank: Bank, recipe: ContinualRecipe
) -> None:
    known = ContinualRecipe(0, ClassesRecipe(COMPOUNDS, split="images"), recipe.memory, recipe.learn)
    rows = np.arange(40, 100)
    test = Bank(bank.features[:, rows], bank.taught[:, rows], bank.label[rows])
    parts = [sides(bank, test, known, number) for number in range(FOLDS)]
    assert sorted(np.concatenate([asked for _, asked in parts]).tolist()) == list(range(60))
    for learned, asked in parts:
        assert np.flatnonzero(learned.label < 0).tolist() == (40 + asked).tolist()
    runs = [one_run(basic, bank, test, known, "psmr+kd", number) for number in range(FOLDS)]
    for made, (_, asked) in zip(runs, parts, strict=True):
        assert np.flatnonzero(made.stages[-1] >= 0).tolist() == asked.tolist()
    right = np.array(
        [made.stages[-1, asked] == test.label[asked] for made, (_, asked) in zip(runs, parts, strict=True)]
    )
    classes = by_class(runs, test.label, NAMES)
    assert sum(row["right"] * row["images"] for row in classes.values()) == pytest.approx(right.sum(), abs=0.01)


def test_a_comparison_at_equal_loss_and_by_class() -> None:
    label = np.array([0, 0, 0, 0, 8, 8, 9, 9])
    stages = np.array([label * (label < 8), label, [0, 0, 0, 8, 8, 8, 8, 9]])
    logits = np.full((8, 10), -5, np.float32)
    logits[np.arange(8), stages[-1]] = 2
    logits[3, 0] = 0  # the basic face that was lost: two points of caution bring it back
    logits[6, 8], logits[6, 0] = 1, 0  # and take a wrong new face
    ours, other = (Run(stages[:, :], np.array([8, 9]), np.zeros(3), z) for z in (logits, logits[:, [*range(8), 9, 8]]))
    assert ends_at_loss(ours, label, 0.03).tolist() == [0, 0, 0, 0, 8, 8, 0, 9]
    made = differences({"psmr+kd": [ours], "random": [other]}, label)
    assert made["psmr+kd - random, new"]["mean"] == 0
    assert made["psmr+kd - random, new where basic lose 3 points"]["mean"] == 0.75
    rows = by_class([ours, ours], label, NAMES)
    assert rows["neutral"]["right"] == 0.75
    assert (rows[NAMES[9]]["taken_for"], rows[NAMES[9]]["taken"]) == (NAMES[8], 0.5)
    assert "happiness" not in rows


def test_cfee_end_to_end(portrait: np.ndarray, tmp_path: Path) -> None:
    for split, seed in (("train", 100), ("test", 200)):
        write_named(tmp_path / "data", f"cfee/{split}", portrait, 5, seed)
    checkpoint = write_checkpoint(tmp_path / "student.pt", CropSpec(32, "landmarks", 0.9))
    state = load_checkpoint(checkpoint)
    state["recipe"]["model"]["backbone"] = "test_efficientnet"
    state["ema"] = Student(ModelRecipe(backbone="test_efficientnet", weights="", drop_path=0.0)).state_dict()
    torch.save(state, checkpoint)
    settings = [f"classes.compounds={list(COMPOUNDS)}", "learn.epochs=1", "learn.steps=1", "learn.views=4"]
    settings += ["classes.train=['cfee/train']", "classes.test=['cfee/test']", "classes.near_duplicates=-1"]
    settings += ["learn.blocks=1", "learn.batch=8", "memory.size=20", "memory.grows=false", "learn.precision=no"]
    out = tmp_path / "out"
    arguments = ["continual", str(checkpoint), "--recipe", "cfee", "--data", str(tmp_path / "data"), "-o", str(out)]
    arguments += [part for value in [*settings, "classes.split=images"] for part in ("--set", value)]
    methods = ["--methods", "psmr+kd", "at once:learn.rate=1e-3"]
    assert run(parse_args([*arguments, "--compare", "--orders", "5", *methods])) == 0
    report = json.loads((out / "continual.json").read_text())
    assert sum(report["tested_on"].values()) == 50
    assert sum(report["learned_from"].values()) == 100  # of which a fifth of the tested ones is hidden in each run
    assert set(report["classes"]["at once:learn.rate=1e-3"]) == set(NAMES)
    assert "psmr+kd - at once:learn.rate=1e-3, new" in report["differences"]
    with pytest.raises(InputError, match="is for fer-train continual --compare"):
        run(parse_args(arguments))


def test_views_beyond_two_are_other_crops_and_the_same_every_time(
    portrait: np.ndarray, tmp_path: Path, student: Student
) -> None:
    from mien_train.continual.features import make_bank

    write_named(tmp_path, "cfee/train", portrait, 1, 100)
    parts = load_learning(ClassesRecipe(COMPOUNDS, ("cfee/train",), ("cfee/train",), near_duplicates=-1), 0, tmp_path)[
        0
    ]
    made = [
        make_bank(cut(student, 1), parts, CropSpec(32), "no", views=4, folder=tmp_path / name) for name in ("a", "b")
    ]
    assert torch.equal(made[0].features, made[1].features)
    assert made[0].taught.shape == (4, len(NAMES), 8)
    pairs = [(a, b) for a in range(4) for b in range(a)]
    assert not any(torch.equal(made[0].features[a], made[0].features[b]) for a, b in pairs)
