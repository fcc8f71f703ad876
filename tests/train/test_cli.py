"""fer-train: its commands end to end on made-up data, and what it says where it cannot go on."""

import json
from pathlib import Path

import pytest
from tiny_teacher import write_checkpoint
from train_refusals import refusal

from mien.align import CropSpec
from mien.errors import InputError
from mien_train.cli import parse_args, run
from mien_train.models.checkpoints import load_checkpoint
from mien_train.recipe import packaged_recipes

pytestmark = pytest.mark.usefixtures("few_resamples")
RECIPE = """
workers = 0
[crop]
size = 32
anchor = "landmarks"
scale = 0.9
[model]
backbone = "mobilenetv3_small_050"
weights = ""
[data]
train = ["rafdb/train", "unlabelled/train"]
validation = ["ferplus/validation"]
test = ["ferplus/test"]
near_duplicates = -1
[optim]
steps = 3
batch = 16
ema = 0.5
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_cache_then_distill_then_compare(written: Path, teacher: Path, data: Path, tmp_path: Path) -> None:
    root = ["--data", str(data)]
    cache, out = tmp_path / "cache", tmp_path / "run"
    assert run(parse_args(["cache", str(teacher), "rafdb/train", "unlabelled/train", "-o", str(cache), *root])) == 0
    assert sorted(p.name.split("-")[0] for p in cache.iterdir()) == ["rafdb", "unlabelled"]
    taught = ["--teacher", str(teacher), "--cache", str(cache), "--set", "distill.alpha=0.8"]
    assert run(parse_args(["distill", "--recipe", str(written), "-o", str(out), *taught, *root])) == 0
    state = load_checkpoint(out / "student.pt")
    how = state["recipe"]["distill"]
    assert (how["teacher"], how["cache"], how["alpha"]) == (str(teacher), str(cache), 0.8)
    assert {item["name"] for item in state["card"]["training"]} >= {"rafdb/train", "unlabelled/train"}

    figures = tmp_path / "compare.json"
    arguments = ["compare", str(teacher), str(out / "student.pt"), "--sets", "ferplus/test", "-o", str(figures), *root]
    assert run(parse_args(arguments)) == 0
    assert json.loads(figures.read_text())["figures"]["ferplus/test"]["difference"] > 0


def test_ablate_writes_its_table(written: Path, teacher: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "ablation"
    arguments = ["ablate", "--recipe", str(written), "--teacher", str(teacher), "--seeds", "1", "-o", str(out)]
    arguments += ["--arms", "kd", "labels", "--set", "optim.steps=1", "--set", "data.affect=''", "--data", str(data)]
    assert run(parse_args(arguments)) == 0
    report = json.loads((out / "ablation.json").read_text())
    assert list(report["figures"]) == ["kd", "labels"]
    assert report["recipe"]["distill"]["teacher"] == str(teacher)
    assert "| ferplus/test |" in (out / "ablation.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("distill --recipe RECIPE -o OUT", "distill needs a teacher: --teacher PATH"),
        ("distill --recipe RECIPE -o OUT --teacher none.pt --data DATA", "no checkpoint at none.pt"),
        ("distill --recipe none -o OUT", "no recipe at none"),
        ("ablate --recipe RECIPE -o OUT --data DATA", "needs distill.teacher"),
        ("ablate --recipe RECIPE -o OUT --data DATA --teacher x.pt --set optim.steps=0", "optim.steps"),
        ("ablate --recipe RECIPE -o OUT --data DATA --teacher x.pt --arms luck", "unknown arm 'luck'; they are labels"),
        ("cache none ferplus/train -o OUT --data DATA", "no model 'none'"),
        ("cache CHECKPOINT none/train -o OUT --data DATA", "no data set 'none/train'"),
        ("evaluate net.onnx --data DATA", "describe it in a TOML file"),
        ("evaluate none.pt --data DATA", "no checkpoint at none.pt"),
        ("compare CHECKPOINT none.toml --data DATA", "no teacher at none.toml"),
        ("compare CHECKPOINT CHECKPOINT --sets unlabelled/train --data DATA", "no expression labels"),
        ("run RECIPE -o OUT --set optim.speed=3", "unknown key optim.speed"),
        ("run RECIPE -o OUT --faces none", "--faces none: there is no such folder; it must hold one folder per class"),
        ("run finetune -o OUT", "finetune has no training set: give --faces FOLDER"),
        ("run RECIPE -o OUT --set data.train=['unlabelled/x'] --data DATA", "no data set 'unlabelled/x'"),
        ("run RECIPE -o RECIPE --data DATA", "recipe.toml: File exists"),
        ("compare CHECKPOINT CHECKPOINT --sets ferplus/test -o no/c.json --data DATA", "no/c.json: No such file or"),
        ("run RECIPE -o OUT --set model.weights=./out/Bundle --data DATA", "is neither a checkpoint (.pt), nor a"),
        ("run RECIPE -o OUT --set model.weights=recipe.toml --data DATA", "is neither a checkpoint (.pt), nor a"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    arguments: str, message: str, written: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint.pt", CropSpec(32)) if "CHECKPOINT" in arguments else ""
    known = {"RECIPE": written, "OUT": tmp_path / "out", "DATA": data, "CHECKPOINT": checkpoint}
    assert message in refusal(arguments, known, tmp_path, capsys)
    assert not list(tmp_path.glob("out/*.pt"))


@pytest.mark.parametrize("command", ["run", "distill", "ablate", "semi", "semi-compare"])
def test_default_recipes_are_packaged(command: str) -> None:
    assert parse_args([command]).recipe in packaged_recipes()


def test_an_ablation_needs_a_seed(written: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["ablate", "--recipe", str(written), "--teacher", "x.pt", "--seeds", "0", "-o", str(tmp_path / "out")]
    with pytest.raises(InputError, match="seeds"):
        run(parse_args([*arguments, "--data", str(data)]))
