"""What was never learned is not told: from a folder of three expressions to what ``fer-run`` says."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_data import face_jpeg

from mien import Recognizer
from mien.bundle.card import card_from_dict
from mien.cli import parse_args, run
from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_export.pack import Wanted, pack
from mien_train.data.sets import learned_labels, load_sets
from mien_train.evaluation.kept_affect import keep_affect
from mien_train.finish import finish
from mien_train.models.from_onnx import bundle_state, load_trained
from mien_train.recipe import DistillRecipe, Recipe
from mien_train.supervised.trainer import train
from mien_train.teachers import load_teacher

SHOWN = ("neutral", "happiness", "sadness")

pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    root = tmp_path_factory.mktemp("own") / "faces"
    for label in SHOWN:
        (root / label).mkdir(parents=True)
        for i in range(14):
            data = face_jpeg(portrait, EXPRESSIONS.index(label), 100 * len(label) + i)
            (root / label / f"{i}.jpg").write_bytes(data)
    return root


def own(recipe: Recipe, folder: Path, weights: str = "", *, steps: int = 6, rate: float = 8e-3) -> Recipe:
    """As ``fer-train run --faces FOLDER`` makes it."""
    return replace(
        recipe,
        data=replace(recipe.data, train=(str(folder),), validation=(), test=(), affect="", holdout=0.2),
        model=replace(recipe.model, weights=weights),
        optim=replace(recipe.optim, steps=steps, rate=rate),
    )


@pytest.fixture(scope="module")
def bundle(folder: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("three")
    path = train(own(recipe, folder), None, out / "run", threads=1)
    finish(path, None)
    pack(path, out / "bundle", Wanted())
    return out / "bundle"


def test_a_bundle_tells_what_it_was_shown(bundle: Path, portrait: np.ndarray) -> None:
    recognizer = Recognizer(bundle, device="cpu", threads=1)
    assert recognizer.labels == recognizer.card.labels == SHOWN
    assert not recognizer.card.has_affect
    assert "tells only the expressions that it was shown" in recognizer.card.limits
    (face,) = recognizer.predict(portrait)
    assert tuple(face.expression.probabilities) == SHOWN
    assert sum(face.expression.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert face.affect is None
    (face,) = recognizer.stream(baseline=0.01).update(portrait, 0.0)
    assert face.affect is None
    rest = recognizer.enroll_neutral([portrait]) if face.expression.label == "neutral" else None
    assert rest is None or rest.affect is None
    words = (bundle / "MODEL_CARD.md").read_text()
    assert "Valence and arousal were not learned" in words
    assert "valence and arousal from a face" not in words


def test_fer_run_leaves_out_what_was_not_learned(
    bundle: Path, portrait: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "portrait.png"), portrait)
    names = {name: str(tmp_path / f"out.{name}") for name in ("json", "csv", "jpg")}
    outputs = ["--json", names["json"], "--csv", names["csv"], "--save", names["jpg"]]
    summary = ["--summary", str(tmp_path / "sum.json")]
    assert (
        run(parse_args(["--source", str(tmp_path / "portrait.png"), "--model", str(bundle), *outputs, *summary])) == 0
    )
    assert "valence" not in capsys.readouterr().out
    record = json.loads(Path(names["json"]).read_text())
    assert record["valence"] is record["arousal"] is None
    assert tuple(record["probabilities"]) == SHOWN
    with Path(names["csv"]).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["valence"] == row["arousal"] == ""
    assert [name for name in row if name.startswith("p_")] == [f"p_{label}" for label in SHOWN]
    told = json.loads((tmp_path / "sum.json").read_text())
    assert told["readings"]["valence"] is told["readings"]["arousal"] is None


def test_a_bundle_of_three_classes_can_be_trained_on(bundle: Path) -> None:
    assert bundle_state(bundle)["ema"]["expression.weight"].shape[0] == len(EXPRESSIONS)


def test_affect_is_kept_while_it_says_the_same(
    folder: Path, recipe: Recipe, teacher: Path, tmp_path: Path, portrait: np.ndarray
) -> None:
    # As after a training that moved nothing: a small network of 48 faces moves far in one step.
    state = torch.load(teacher, weights_only=True)
    path = tmp_path / "student.pt"
    torch.save(state | {"recipe": own(recipe, folder, str(teacher)).to_dict()}, path)
    made = finish(path, None)
    (name,) = [name for name, values in made.figures.items() if "kept" in values]
    assert name.startswith("agreement with ")
    assert made.figures[name]["kept"]["ccc_valence"] > 0.9
    card = card_from_dict(torch.load(path, weights_only=True)["card"])
    assert card.has_affect
    pack(path, tmp_path / "bundle", Wanted())
    (face,) = Recognizer(tmp_path / "bundle", device="cpu", threads=1).predict(portrait)
    assert face.affect is not None
    assert "`kept` compares" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()


def test_affect_is_dropped_where_it_says_something_else(folder: Path, recipe: Recipe, teacher: Path) -> None:
    changed = own(recipe, folder, str(teacher))
    student, _, _ = load_trained(str(teacher))
    faces = load_sets(changed, None)[0]
    assert keep_affect(student, changed, faces)
    with torch.no_grad():
        student.affect.bias += 1.0  # of the student: it is replaced by the old one's, and fits
    assert keep_affect(student, changed, faces)
    with torch.no_grad():
        student.expression.weight.neg_()
        student.backbone.get_submodule("conv_stem").weight.neg_()  # type: ignore[union-attr]
    bias = student.affect.bias.clone()
    assert keep_affect(student, changed, faces) is None
    torch.testing.assert_close(student.affect.bias, bias)
    assert keep_affect(student, own(recipe, folder), faces) is None  # began from nothing that knew any


def test_one_expression_is_refused_before_the_first_step(
    recipe: Recipe, make_one: Callable[[Path], Path], tmp_path: Path
) -> None:
    changed = own(recipe, make_one(tmp_path))
    with pytest.raises(InputError, match="show happiness; a model needs at least two expressions"):
        train(changed, None, tmp_path / "run", threads=1)
    assert not list((tmp_path / "run").glob("*.pt"))
    assert learned_labels(load_sets(changed, None)[0], ("fear",)) == ("happiness", "fear")


def test_a_student_tells_what_its_teacher_knew_and_what_it_was_shown(
    bundle: Path, recipe: Recipe, make_one: Callable[[Path], Path], tmp_path: Path
) -> None:
    """As the checkpoint remembers, without the teacher."""
    known = tmp_path / "teacher"
    shutil.copytree(bundle, known)
    surprised = make_one(tmp_path)
    (surprised / "happiness").rename(surprised / "surprise")
    taught = replace(own(recipe, surprised, steps=1), distill=DistillRecipe(str(known)))
    path = train(taught, None, tmp_path / "run", threads=1)
    shutil.rmtree(known)
    finish(path, None)
    labels = ("neutral", "happiness", "sadness", "surprise")
    assert torch.load(path, weights_only=True)["card"]["labels"] == list(labels)
    teacher = load_teacher(path)
    said = teacher(torch.zeros((1, 32, 32, 3), dtype=torch.uint8), teacher.crop).logits
    assert (~said[0].isnan()).tolist() == [name in labels for name in EXPRESSIONS]


@pytest.fixture
def make_one(folder: Path) -> Callable[[Path], Path]:
    """A folder of one class: the happy faces."""

    def make(place: Path) -> Path:
        target = place / "one" / "happiness"
        target.mkdir(parents=True)
        for path in (folder / "happiness").iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        return target.parent

    return make
