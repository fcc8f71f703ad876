"""fer-train continual, fewshot and explain: end to end on made-up data, and what they refuse."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_compounds import COMPOUNDS, NAMES, write_ferplus
from tiny_teacher import write_checkpoint
from train_refusals import refusal

from mien.align import CropSpec
from mien.errors import InputError
from mien.sources.demo import demo_picture
from mien_train.cli import parse_args, run
from mien_train.continual import compare as comparison
from mien_train.continual.commands import Setup, prepare
from mien_train.continual.explain import explain, maps
from mien_train.continual.learner import METHODS, Learner
from mien_train.continual.network import cut, load_grown
from mien_train.continual.recipe import load_continual
from mien_train.models.checkpoints import load_checkpoint, load_student
from mien_train.models.student import Student
from mien_train.recipe import ModelRecipe


def test_compare_goes_on_where_it_stopped(
    checkpoint: Path, written: Path, setup_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    arguments = ["continual", str(checkpoint), "--compare", "--recipe", str(written), "-o", str(out), "--orders", "2"]
    arguments += ["--methods", "psmr+kd", "fine-tuning", "random+kd", "--data", str(setup_data)]
    assert run(parse_args(arguments)) == 0
    report = json.loads((out / "continual.json").read_text())
    made = report["methods"]["psmr+kd"]
    assert len(made["figures"]["new"]["values"]) == 2
    assert len(made["course"]["all"]) == len(COMPOUNDS) + 1
    assert made["course"]["new"][0] is None  # JSON knows no NaN
    assert made["images"] == [40, 36, 40]
    assert report["tested_on"]["sadly angry"] == 3
    gap = report["differences"]["psmr+kd - fine-tuning, new"]
    means = [report["methods"][m]["figures"]["new"]["mean"] for m in ("psmr+kd", "fine-tuning")]
    assert gap["mean"] == pytest.approx(means[0] - means[1], abs=2e-4)
    assert (out / "continual.png").stat().st_size > 10_000
    assert "| fine-tuning |" in (out / "continual.md").read_text()

    (out / "runs" / "psmr+kd-1.npz").unlink()
    done = []
    real = comparison.one_run
    monkeypatch.setattr(comparison, "one_run", lambda *args: done.append(args[4:]) or real(*args))
    assert run(parse_args(arguments)) == 0
    assert done == [("psmr+kd", 1)]
    assert json.loads((out / "continual.json").read_text())["methods"] == report["methods"]


def test_continual_then_explain(
    checkpoint: Path, written: Path, setup_data: Path, tmp_path: Path, setup: Setup
) -> None:
    out = tmp_path / "out"
    arguments = ["continual", str(checkpoint), "--recipe", str(written), "-o", str(out), "--data", str(setup_data)]
    assert run(parse_args(arguments)) == 0
    path = out / "continual.pt"
    student, _, head, names = load_grown(path)
    assert names == NAMES
    assert "card" not in load_checkpoint(path)
    assert "Then learned fearfully surprised, sadly angry (psmr+kd)." in load_checkpoint(path)["origin"]
    learner = Learner(setup.basic, setup.bank, load_continual(str(written)), METHODS["psmr+kd"], 0)
    for label in (8, 9):
        learner.learn(NAMES[label], label)
    crops = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    trunk = load_student(checkpoint)[0]
    with torch.no_grad():
        wanted, _ = learner.tail(cut(trunk, 1)[0](crops))
        assert torch.allclose(head(student(crops).embedding), wanted, atol=1e-4)

    picture = tmp_path / "explained.png"
    made = explain(path, demo_picture(), picture)
    assert tuple(made) == NAMES
    assert sum(made.values()) == pytest.approx(1, abs=1e-4)
    assert cv2.imread(str(picture)).shape[1] > 1000
    kept = picture.read_bytes()
    explain(checkpoint, demo_picture(), picture)
    assert picture.read_bytes() != kept  # without the compounds


def test_fewshot_writes_its_table(checkpoint: Path, written: Path, setup_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["fewshot", str(checkpoint), "--recipe", str(written), "-o", str(out), "--data", str(setup_data)]
    arguments += ["--shots", "2", "1", "--new", "1", "2", "--draws", "2"]
    assert run(parse_args(arguments)) == 0
    rows = json.loads((out / "fewshot.json").read_text())["rows"]
    assert [(row["new_classes"], row["shots"]) for row in rows] == [(1, 2), (1, 1), (2, 2), (2, 1)]
    assert 0 <= rows[0]["mean"]["new"] <= 1


def test_grad_cam_finds_the_part_that_decides(tmp_path: Path) -> None:
    backbone = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    head = torch.nn.Linear(3, 2)
    torch.nn.init.zeros_(head.bias)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))
    face = np.zeros((32, 32, 3), np.uint8)
    face[:8, :8, 0] = 255
    face[24:, 24:, 2] = 255
    _, heat = maps(backbone, head, backbone[0], face)
    assert heat.shape == (2, 32, 32)
    assert [np.unravel_index(m.argmax(), m.shape)[0] < 16 for m in heat] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("continual none.pt --data DATA", "no checkpoint at none.pt"),
        ("continual FOLDER --data DATA", "is not a model bundle: it holds no card.json"),
        (
            "continual CHECKPOINT --recipe none --data DATA",
            "no recipe at none; the packaged ones are compounds",
        ),
        (
            "continual CHECKPOINT --recipe RECIPE --compare --methods luck --data DATA",
            "unknown method 'luck'; they are",
        ),
        ("continual CHECKPOINT --recipe RECIPE --orders 0 --data DATA", "--orders must be 1 or more"),
        ("continual CHECKPOINT --recipe RECIPE --set learn.blocks=99 --data DATA", "learn.blocks must be below"),
        (
            "continual CHECKPOINT --recipe RECIPE --set classes.train=['ferplus/x'] --data DATA",
            "no data set 'ferplus/x'",
        ),
        ("continual OTHER --recipe RECIPE --data DATA", "for backbones like timm's MobileNetV1"),
        ("fewshot CHECKPOINT --recipe RECIPE --shots 99 --data DATA", "there are 8 examples of a new class, not 99"),
        ("fewshot CHECKPOINT --recipe RECIPE --new 3 --data DATA", "--new from 1 to 2"),
        ("explain CHECKPOINT none.jpg", "none.jpg"),
        ("explain none.pt PICTURE", "no checkpoint at none.pt"),
        ("explain CHECKPOINT EMPTY", "no face was found"),
        ("explain CHECKPOINT PICTURE -o PICTURE", "is the file that is read and would be overwritten"),
        ("explain CHECKPOINT PICTURE -o nowhere/x.png", "does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    arguments: str, message: str, written: Path, checkpoint: Path, setup_data: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), np.full((200, 200, 3), 90, np.uint8))
    picture = shutil.copy(demo_picture(), tmp_path)
    known = {"RECIPE": written, "DATA": setup_data, "CHECKPOINT": checkpoint, "FOLDER": tmp_path, "EMPTY": empty}
    known["PICTURE"] = picture
    if "OTHER" in arguments:
        known["OTHER"] = write_checkpoint(tmp_path / "other.pt", CropSpec(32))
        state = load_checkpoint(known["OTHER"])
        state["recipe"]["model"]["backbone"] = "test_resnet"
        state["ema"] = Student(ModelRecipe(backbone="test_resnet", weights="", drop_path=0.0)).state_dict()
        torch.save(state, known["OTHER"])
    assert message in refusal(arguments, known, tmp_path, capsys)


def test_a_folder_of_another_recipe_is_left_alone(
    checkpoint: Path, written: Path, setup_data: Path, tmp_path: Path
) -> None:
    prepare(checkpoint, load_continual(str(written)), setup_data, tmp_path)
    with pytest.raises(InputError, match="another recipe or checkpoint; choose another --out"):
        prepare(checkpoint, load_continual(str(written), ("learn.steps=9",)), setup_data, tmp_path)


def test_runs_of_other_faces_are_not_reused(
    checkpoint: Path, written: Path, setup_data: Path, portrait: np.ndarray, tmp_path: Path
) -> None:
    recipe, out = load_continual(str(written)), tmp_path / "out"
    prepare(checkpoint, recipe, setup_data, out)
    prepare(checkpoint, recipe, setup_data, out)
    data = tmp_path / "data"
    write_ferplus(data, "train", portrait, 8, 0)
    write_ferplus(data, "test", portrait, 3, 9001)
    with pytest.raises(InputError, match="holds runs of other faces; choose another --out"):
        prepare(checkpoint, recipe, data, out)
