"""fer-train finish: what can still be chosen when the training is over."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.cli import parse_args, run
from mien_train.data.sets import load_with_landmarks
from mien_train.finish import finish
from mien_train.models.checkpoints import load_checkpoint

CONTEMPT = EXPRESSIONS.index("contempt")


def bias(path: Path) -> torch.Tensor:
    return load_checkpoint(path)["ema"]["expression.bias"]


def test_contempt_gets_a_prior_which_can_be_taken_back(
    teacher: Path, data: Path, tmp_path: Path, few_resamples: None
) -> None:
    path = Path(shutil.copy(teacher, tmp_path / "student.pt"))
    before = bias(path)
    assert run(parse_args(["finish", str(path), "--data", str(data), "--set", "data.contempt=0.25"])) == 0
    assert bias(path)[CONTEMPT] - before[CONTEMPT] == pytest.approx(-1.3863, abs=1e-4)
    assert torch.equal(bias(path)[:CONTEMPT], before[:CONTEMPT])
    assert load_checkpoint(path)["recipe"]["data"]["contempt"] == 0.25
    finish(path, data)
    assert bias(path)[CONTEMPT] - before[CONTEMPT] == pytest.approx(-1.3863, abs=1e-4), "finished twice, set once"
    finish(path, data, ("data.contempt=1.0",))
    assert bias(path) == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "says"), [("optim.steps=3", "training is over"), ("data.contempt=0", "data.contempt is 0.0; it must be")]
)
def test_what_cannot_be_chosen_any_more_is_refused(teacher: Path, data: Path, change: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        finish(teacher, data, (change,))


def test_the_temperature_is_not_fitted_on_faces_that_were_trained_on(
    teacher: Path, data: Path, tmp_path: Path, few_resamples: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what was trained on stays what it was, also when it is finished once more."""
    path = Path(shutil.copy(teacher, tmp_path / "student.pt"))
    with pytest.raises(InputError, match="pictures of ferplus/train were trained on"):
        finish(path, data, ('data.calibration=["ferplus/train"]',))
    before = load_checkpoint(path)["card"]["training"]
    whole, held = (len(load_with_landmarks(f"rafdb/{split}", data).faces) for split in ("train", "holdout"))
    for changes in (('data.calibration=["rafdb/train"]',), ()):
        finish(path, data, changes)
        assert load_checkpoint(path)["card"]["training"] == before
        assert f"{whole - held} of the {whole} pictures of rafdb/train were trained on" in capsys.readouterr().err


def test_a_test_set_with_faces_that_were_trained_on_is_judged_on_the_others(
    teacher: Path, data: Path, tmp_path: Path, few_resamples: None
) -> None:
    state = load_checkpoint(teacher)
    state["recipe"]["data"]["test"] = ["rafdb/train"]
    path = tmp_path / "student.pt"
    torch.save(state, path)
    made = finish(path, data, ('data.calibration=["rafdb/train"]',))
    held = len(load_with_landmarks("rafdb/holdout", data).faces)
    assert len(made.tests["rafdb/train"].expression) == len(made.tests["rafdb/train"].temperature) == held


def test_anchors_that_were_not_trained_on_are_refused(teacher: Path, data: Path) -> None:
    with pytest.raises(InputError, match=r"must all be among data\.train"):
        finish(teacher, data, ('data.anchors=["rafdb/test"]',))


def test_a_set_that_the_temperature_was_fitted_on_is_judged_by_folds(
    teacher: Path, data: Path, tmp_path: Path, few_resamples: None
) -> None:
    """What a least confidence leaves of it is told by finish, which alone knows the folds."""
    path = Path(shutil.copy(teacher, tmp_path / "student.pt"))
    figures = finish(path, data, ('data.calibration=["rafdb/test"]',)).figures
    bounds = [row["min_confidence"] for row in figures["rafdb/test"]["at_min_confidence"]]
    assert bounds == [0.5, 0.7, 0.9]
    assert "at_min_confidence" not in figures["ferplus/test"]
    assert load_checkpoint(path)["card"]["metrics"]["rafdb/test"] == figures["rafdb/test"]
