"""fer-train continual, fewshot and explain: end to end on made-up data, and what they refuse."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_compounds import COMPOUNDS, NAMES, write_ferplus
from tiny_teacher import write_checkpoint

from mien.align import CropSpec
from mien.errors import InputError
from mien.sources.demo import demo_picture
from mien_train.cli import main, parse_args, run
from mien_train.continual import compare as comparison
from mien_train.continual.commands import Setup, prepare
from mien_train.continual.compare import one_run
from mien_train.continual.explain import explain, maps
from mien_train.continual.fewshot import few
from mien_train.continual.learner import METHODS, Learner
from mien_train.continual.network import cut, grown_state, load_grown
from mien_train.continual.recipe import ContinualRecipe, load_continual
from mien_train.continual.sets import load_labeled
from mien_train.models.checkpoints import load_checkpoint, load_student
from mien_train.models.student import Student
from mien_train.recipe import ModelRecipe, Recipe
from mien_train.settings import build

RECIPE = f"""
[classes]
compounds = {list(COMPOUNDS)}
train = ["ferplus/train"]
test = ["ferplus/test"]
near_duplicates = -1
[memory]
size = 40
[learn]
epochs = 3
steps = 8
batch = 32
rate = 2e-3
head = 3
share = 0.25
gamma = 0.3
caution = 0
precision = "no"
"""


@pytest.fixture(scope="module")
def setup_data(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    root = tmp_path_factory.mktemp("compounds")
    write_ferplus(root, "train", portrait, 8, 0)
    write_ferplus(root, "test", portrait, 3, 9000)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, setup_data: Path) -> Path:
    """A student that can tell the eight basic tints."""
    path = write_checkpoint(tmp_path_factory.mktemp("basic") / "student.pt", CropSpec(32, "landmarks", 0.9))
    state = load_checkpoint(path)
    state["recipe"]["model"]["backbone"] = "test_efficientnet"
    torch.manual_seed(0)
    student = Student(build(Recipe, json.loads(json.dumps(state["recipe"]))).model)
    part = load_labeled("ferplus/train", COMPOUNDS, setup_data)
    rows = np.flatnonzero(part.label < 8)
    crops = torch.from_numpy(np.stack([part.item.crop(int(i), CropSpec(32, "landmarks", 0.9)) for i in rows]))
    optimizer = torch.optim.Adam(student.parameters(), lr=5e-3)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(student(crops).logits, torch.from_numpy(part.label[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save({**state, "ema": student.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def setup(checkpoint: Path, written: Path, setup_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return prepare(checkpoint, load_continual(str(written)), setup_data, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def recipe(written: Path) -> ContinualRecipe:
    return load_continual(str(written))


def test_the_whole_method_learns_and_does_not_forget(setup: Setup, recipe: ContinualRecipe) -> None:
    label = setup.test.label
    ends = {
        m: one_run(setup.basic, setup.bank, setup.test, recipe, m, 0).stages[-1] for m in ("psmr+kd", "fine-tuning")
    }
    right = {m: ((p == label)[label >= 8].mean(), (p == label)[label < 8].mean()) for m, p in ends.items()}
    assert right["psmr+kd"][0] >= 0.6
    assert right["psmr+kd"][1] >= 0.6
    assert right["psmr+kd"][1] > right["fine-tuning"][1] + 0.2


def test_only_the_class_that_is_learned_and_the_memory_are_looked_at(setup: Setup, recipe: ContinualRecipe) -> None:
    learner = Learner(setup.basic, setup.bank, recipe, METHODS["psmr+kd"], 0)
    assert learner.remembered == 40
    drawn = np.concatenate([learner._draw(setup.bank.rows(8)) for _ in range(40)])
    assert set(setup.bank.label[drawn]) == set(range(9))
    kept = np.concatenate(list(learner.memory.kept.values()))
    assert set(drawn) <= set(kept) | set(setup.bank.rows(8))
    before = {name: value.clone() for name, value in setup.basic.state_dict().items()}
    learner.learn(NAMES[8], 8)
    assert learner.remembered == 9 * (40 // 9)
    assert all(torch.equal(value, before[name]) for name, value in setup.basic.state_dict().items())


def test_a_run_is_the_same_twice_and_another_order_is_another(setup: Setup, recipe: ContinualRecipe) -> None:
    turned = next(n for n in range(10) if comparison.order_of(recipe, n) == [9, 8])
    first, again, other = (one_run(setup.basic, setup.bank, setup.test, recipe, "random+kd", n) for n in (0, 0, turned))
    assert np.array_equal(first.stages, again.stages)
    assert first.order.tolist() == [8, 9]
    assert (9 in first.stages[1], 8 in other.stages[1]) == (False, False)


def test_few_shots_hide_all_other_examples(setup: Setup) -> None:
    made = few(setup.bank, [9], 3, np.random.default_rng(0))
    assert (len(made.rows(8)), len(made.rows(9)), len(made.rows(0))) == (0, 3, 8)
    assert set(made.rows(9)) <= set(setup.bank.rows(9))


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


def test_caution_goes_into_the_biases(setup: Setup) -> None:
    learner_tail = Learner(setup.basic, setup.bank, ContinualRecipe(), METHODS["fine-tuning"], 0).tail
    learner_tail.grow("sadly angry")
    states = [
        grown_state(setup.state, setup.student, learner_tail, ["sadly angry"], c)["compounds"] for c in (0.0, 1.5)
    ]
    assert torch.allclose(states[0]["bias"] - 1.5, states[1]["bias"])


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
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
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
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fer-train", *(str(known.get(part, part)) for part in arguments.split())])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("fer-train: ")
    assert message in last


def test_a_folder_of_another_recipe_is_left_alone(
    checkpoint: Path, written: Path, setup_data: Path, tmp_path: Path
) -> None:
    prepare(checkpoint, load_continual(str(written)), setup_data, tmp_path)
    with pytest.raises(InputError, match="another recipe or checkpoint; choose another --out"):
        prepare(checkpoint, load_continual(str(written), ("learn.steps=9",)), setup_data, tmp_path)
