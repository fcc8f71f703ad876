"""Whole semi-supervised trainings on made-up data: they learn, resume, stop, are compared, and can be distilled on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mien_train.loop.run_folder
import mien_train.semi.compare
from mien.errors import InputError
from mien_train.cli import parse_args, run
from mien_train.models.checkpoints import load_checkpoint, load_student
from mien_train.recipe import Recipe, SemiRecipe
from mien_train.semi.compare import ARMS, arm_recipe, compare_arms, gain, read_rows, set_figures
from mien_train.semi.pools import Pools, load_sets_of, split_pools
from mien_train.semi.quality import TrainingStopped
from mien_train.semi.shares import LEAST, labeled_shares, seen_shares
from mien_train.semi.step import Pair
from mien_train.semi.table import as_markdown
from mien_train.semi.train import train_semi

RECIPE = """
workers = 0
[crop]
size = 32
anchor = "landmarks"
scale = 0.9
[model]
backbone = "test_efficientnet"
weights = ""
[data]
train = ["ferplus/train"]
validation = ["ferplus/validation"]
test = ["ferplus/test"]
affect = ""
near_duplicates = -1
[optim]
steps = 2
batch = 8
[semi]
lead = 1
batch = 8
threshold = 0.1
"""


@pytest.fixture(scope="module")
def semi(recipe: Recipe) -> Recipe:
    how = SemiRecipe(labels=0.5, batch=16, lead=25, threshold=0.5)
    return replace(recipe, semi=how, data=replace(recipe.data, affect=""), optim=replace(recipe.optim, steps=30))


def short(recipe: Recipe, steps: int = 4, lead: int = 2, **changes: object) -> Recipe:
    how = replace(recipe.semi, lead=lead, **changes)  # type: ignore[arg-type]
    return replace(recipe, optim=replace(recipe.optim, steps=steps), semi=how)


def trained(recipe: Recipe, data: Path, out: Path, **how: object) -> Path:
    pools = split_pools(*load_sets_of(recipe, data), recipe)
    return train_semi(recipe, pools, out, threads=1, **how)  # type: ignore[arg-type]


def test_a_student_learns_from_a_teacher_that_learns(semi: Recipe, data: Path, tmp_path: Path) -> None:
    state = load_checkpoint(trained(semi, data, tmp_path))
    assert state["step"] == 55
    assert state["quality"]["accuracy"] > 0.6  # eight tints; chance is an eighth
    assert state["quality"]["kept"] > 0.2
    history = state["history"]
    scores = [row["validation/ferplus/validation"] for row in history if "validation/ferplus/validation" in row]
    assert scores[-1] > 0.4
    assert any("train/h" in row for row in history)
    assert "pseudo-labels of" in state["origin"]
    # The packed head is the trained one, told how likely each class is among labeled faces.
    natural = labeled_shares(split_pools(*load_sets_of(semi, data), semi).labeled)
    seen = seen_shares(natural, state["quality"], uniform=True)
    shift = np.log(np.maximum(natural, LEAST)) - np.log(np.maximum(seen, LEAST))
    moved = state["ema"]["expression.bias"] - load_checkpoint(tmp_path / "last.pt")["ema"]["expression.bias"]
    assert np.abs(shift).max() > 0.01
    assert np.allclose(moved, shift, atol=1e-5)
    assert list(tmp_path.glob(".*.p*")) == []


@pytest.mark.parametrize("arm", ["+ feedback", "labels"])
def test_a_killed_run_resumes_to_the_same_weights(
    arm: str, semi: Recipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = short(semi, threshold=0.1, **ARMS[arm])
    whole = load_checkpoint(trained(recipe, data, tmp_path / "whole"))
    real = Pair.__call__

    def dies(self: Pair, drawn: object, step: int) -> object:
        if step == 3:
            raise RuntimeError("killed")
        return real(self, drawn, step)  # type: ignore[arg-type]

    monkeypatch.setattr(mien_train.loop.run_folder, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(Pair, "__call__", dies)
    with pytest.raises(RuntimeError, match="killed"):
        trained(recipe, data, tmp_path / "parts")
    monkeypatch.setattr(Pair, "__call__", real)
    with pytest.raises(InputError, match="--resume"):
        trained(recipe, data, tmp_path / "parts")
    with pytest.raises(InputError, match="another recipe"):
        trained(replace(recipe, seed=1), data, tmp_path / "parts", resume=True)
    parts = load_checkpoint(trained(recipe, data, tmp_path / "parts", resume=True))
    assert parts["step"] == whole["step"]
    assert parts["quality"] == whole["quality"]
    for name, tensor in whole["ema"].items():
        torch.testing.assert_close(parts["ema"][name], tensor, msg=name)


def test_a_run_stops_when_told_and_can_go_on(
    semi: Recipe, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poor = short(semi, lead=0, threshold=0.05)  # an untrained teacher
    with pytest.raises(TrainingStopped, match=r"fewer than --stop-below 0\.9"):
        trained(poor, data, tmp_path, stop_below=0.9)
    assert not (tmp_path / "student.pt").exists()
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 1
    trained(poor, data, tmp_path, resume=True)
    assert load_checkpoint(tmp_path / "student.pt")["step"] == 4
    assert "better off without" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        ("optim", {"steps": 0}, "optim.steps"),
        ("optim", {"precision": "fp16"}, "bf16"),
        ("distill", {"teacher": "x.pt"}, "makes its own teacher"),
        ("semi", {"threshold": 0.0}, "semi.threshold"),
        ("semi", {"teacher_size": -64}, "semi.teacher_size"),
        ("semi", {"labels": 0.0}, "above 0 and at most 1"),
        ("semi", {"labels": 1.5}, "above 0 and at most 1"),
        ("semi", {"labels": float("nan")}, "above 0 and at most 1"),
    ],
)
def test_what_it_cannot_run_is_refused(
    table: str, changes: dict[str, object], message: str, semi: Recipe, tmp_path: Path
) -> None:
    broken = replace(semi, **{table: replace(getattr(semi, table), **changes)})
    with pytest.raises(InputError, match=message):
        train_semi(broken, Pools([], [], [], []), tmp_path)
    assert not list(tmp_path.iterdir())


def test_arms_add_one_part_each(semi: Recipe) -> None:
    alone, pseudo, uniform, all_parts = (arm_recipe(semi, arm, 0.1, 3) for arm in ARMS)
    assert all_parts == replace(semi, seed=3, semi=replace(semi.semi, labels=0.1))
    assert replace(uniform, semi=replace(uniform.semi, feedback=1.0)) == all_parts
    assert replace(pseudo, semi=replace(pseudo.semi, uniform=True)) == uniform
    assert replace(alone, semi=replace(alone.semi, pseudo=True)) == pseudo
    with pytest.raises(InputError, match="unknown arm 'luck'"):
        arm_recipe(semi, "luck", 0.1, 0)
    with pytest.raises(InputError, match="all parts"):
        arm_recipe(replace(semi, semi=alone.semi), "labels", 0.1, 0)


def test_finished_runs_are_kept(semi: Recipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, arms = short(semi, 2, 1), ("labels", "+ feedback")
    rows = compare_arms(recipe, data, tmp_path, seeds=1, shares=(0.5,), arms=arms, threads=1)
    assert [(row["arm"], row["labels"], row["seed"]) for row in rows] == [(arm, 0.5, 0) for arm in arms]
    assert rows[0]["quality"] is None
    assert 0 <= rows[1]["quality"]["accuracy_all"] <= 1
    figures = rows[0]["figures"]
    sets = [figures[f"{name} accuracy"] for name in ("ferplus/test", "rafdb/test")]
    assert figures["mean accuracy"] == pytest.approx(np.mean(sets))
    assert "rafdb/test contempt" not in figures
    assert figures["mean contempt"] == figures["ferplus/test contempt"]

    lines = (tmp_path / "runs.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "runs.jsonl").write_text(lines[0] + lines[1][:50])
    with pytest.raises(InputError, match="is damaged"):
        compare_arms(recipe, data, tmp_path, seeds=1, shares=(0.5,), arms=arms)
    (tmp_path / "runs.jsonl").write_text(lines[0])
    measured = []
    real = mien_train.semi.compare.measure
    monkeypatch.setattr(mien_train.semi.compare, "measure", lambda p, root: measured.append(p) or real(p, root))
    monkeypatch.setattr(Pair, "__call__", lambda *_: pytest.fail("trained twice"))
    again = compare_arms(recipe, data, tmp_path, seeds=1, shares=(0.5,), arms=arms, threads=1)
    assert again == rows == read_rows(tmp_path)
    assert [path.parent.name for path in measured] == ["feedback-0.5-0"]
    assert compare_arms(recipe, data, tmp_path, seeds=1, shares=(0.5,), arms=arms) == rows
    with pytest.raises(InputError, match="another recipe"):
        compare_arms(short(semi, 3, 1), data, tmp_path, seeds=1, shares=(0.5,), arms=arms)


def test_figures_of_a_set_are_right() -> None:
    matrix = np.zeros((8, 8), np.int64)
    matrix[0, 0], matrix[0, 4], matrix[4, 4], matrix[4, 0] = 8, 2, 3, 1
    made = set_figures(matrix)
    assert made["accuracy"] == pytest.approx(11 / 14)
    assert made["fear"] == pytest.approx(0.75)
    assert made["macro-F1"] == pytest.approx((16 / 19 + 6 / 9) / 2)
    assert set(made) == {"accuracy", "macro-F1", "fear"}


def test_gains_are_paired_by_seed_and_have_intervals() -> None:
    def row(arm: str, seed: int, value: float) -> dict[str, object]:
        figures = {"mean accuracy": value, "mean rare recall": value}
        return {"arm": arm, "labels": 0.1, "seed": seed, "figures": figures, "quality": None}

    rows = [row("labels", s, 0.5 + s / 10) for s in range(3)]
    rows += [row("+ feedback", s, 0.5 + s / 10 + d) for s, d in enumerate((0.01, 0.02, 0.03))]
    mean, half = gain(rows, "+ feedback", 0.1, "mean accuracy")  # type: ignore[misc]
    assert mean == pytest.approx(0.02)
    assert half == pytest.approx(4.30 * 0.01 / np.sqrt(3))
    assert gain(rows, "+ uniform", 0.1, "mean accuracy") is None
    text = as_markdown(rows)
    assert "| mean accuracy, over labels alone [95 %] |  | +0.020 [-0.005, +0.045] |" in text
    assert "nan" not in as_markdown([row("labels", 0, 0.5), row("+ feedback", 0, 0.6)])


@pytest.mark.usefixtures("few_resamples")
def test_from_the_command_line_and_then_distilled(
    semi: Recipe, teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "recipe.toml"
    written.write_text(RECIPE)
    root, out = ["--data", str(data)], tmp_path / "semi"
    assert run(parse_args(["semi", "--recipe", str(written), "-o", str(out), "--set", "semi.labels=0.5", *root])) == 0
    student, recipe, state = load_student(out / "student.pt")
    assert "fer-train semi" in state["card"]["origin"]
    assert recipe.semi.labels == 0.5
    assert [item["name"] for item in state["card"]["training"]] == ["ferplus/train", "unlabelled/train"]

    tuned = ["--set", f"model.weights='{out / 'student.pt'}'", "--set", "optim.steps=1", "--set", "optim.rate=1e-9"]
    arguments = ["distill", "--recipe", str(written), "--teacher", str(teacher), "-o", str(tmp_path / "distilled")]
    assert run(parse_args([*arguments, *tuned, *root])) == 0
    after, _, about = load_student(tmp_path / "distilled" / "student.pt")
    torch.testing.assert_close(after.expression.weight, student.expression.weight, atol=1e-6, rtol=0)
    assert "fer-train semi" in about["card"]["origin"]
    assert f"Trained on from {out / 'student.pt'}" in about["card"]["origin"]

    compared = ["semi-compare", "--recipe", str(written), "-o", str(tmp_path / "compare"), "--seeds", "1", *root]
    assert run(parse_args([*compared, "--labels", "0.5", "1"])) == 0
    report = json.loads((tmp_path / "compare" / "semi.json").read_text())
    assert [row["arm"] for row in report["runs"]] == list(ARMS) * 2
    assert report["machine"]
    assert (tmp_path / "compare" / "semi.png").stat().st_size > 10_000
    assert "| + feedback |" in capsys.readouterr().out
    with pytest.raises(InputError, match="stop-below"):
        run(parse_args(["semi", "--recipe", str(written), "-o", str(out), "--stop-below", "60", *root]))
    with pytest.raises(InputError, match="--seeds"):
        run(parse_args([*compared, "--seeds", "0"]))
