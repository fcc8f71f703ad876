"""``fer-train run --faces``: folders of a few pictures, and how --set and --out go with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import face_jpeg

from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.cli import parse_args, run
from mien_train.data.datasets import holdout, load_faces
from mien_train.evaluation.evaluate import compare, evaluate
from mien_train.models.checkpoints import load_checkpoint, load_student

pytestmark = pytest.mark.usefixtures("few_resamples")
RECIPE = """
[crop]
size = 32
anchor = "landmarks"
scale = 0.9
[model]
backbone = "test_efficientnet"
weights = ""
[optim]
steps = 2
batch = 4
"""
SHARE = 0.15
"""Of one's own pictures that are held out."""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def make_faces(folder: Path, portrait: np.ndarray, held: int, count: int = 6) -> Path:
    """``count`` pictures of two classes, of which ``held`` fall into the share that is kept for validation."""
    for label in ("happiness", "sadness"):
        (folder / label).mkdir(parents=True)
    for seed in range(1000):
        label = ("happiness", "sadness")[seed % 2]
        path = folder / label / f"{seed}.jpg"
        path.write_bytes(face_jpeg(portrait, EXPRESSIONS.index(label), seed))
        chosen = holdout(load_faces(str(folder)), SHARE)
        if chosen.sum() > held or (~chosen).sum() > count - held:
            path.unlink()
        elif len(chosen) == count:
            return folder
    raise AssertionError("no such pictures")


@pytest.mark.parametrize("held", [0, 1])
def test_a_few_pictures_make_a_student(
    held: int, written: Path, portrait: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With none to validate on there is a warning, and with one no temperature that is not a number."""
    faces, out = make_faces(tmp_path / "faces", portrait, held), tmp_path / "out"
    assert run(parse_args(["run", str(written), "--faces", str(faces), "-o", str(out)])) == 0
    assert ("no picture is left to validate on" in capsys.readouterr().err) == (held == 0)
    student, _, state = load_student(out / "student.pt")
    assert all(torch.isfinite(value).all() for value in student.state_dict().values())
    assert state["card"]["calibration"]["temperature"] == 1
    assert (out / "student.png").exists() == (held == 1)  # nothing to show: too short, and nothing to judge on
    assert run(parse_args(["evaluate", str(out / "student.pt"), "-o", str(tmp_path / "figures")])) == 0


def test_what_is_set_goes_before_what_the_folder_sets(written: Path, portrait: np.ndarray, tmp_path: Path) -> None:
    faces, other = (make_faces(tmp_path / name, portrait, 1) for name in ("faces", "other"))
    start = ["run", str(written), "--faces", str(faces), "-o", str(tmp_path / "out")]
    changes = ["--set", f'data.test=["{other}"]', "--set", "data.holdout=0", "--set", "data.near_duplicates=-1"]
    assert run(parse_args([*start, *changes])) == 0
    state = load_checkpoint(tmp_path / "out/student.pt")
    assert (state["recipe"]["data"]["test"], state["recipe"]["data"]["holdout"]) == ([str(other)], 0)
    assert state["card"]["training"][0]["images"] == 6
    with pytest.raises(InputError, match="leave out --set"):
        run(parse_args([*start, "--set", f'data.train=["{other}"]']))


def test_a_folder_that_was_trained_on_is_marked_however_it_is_written(
    written: Path, portrait: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_faces(tmp_path / "faces", portrait, 1)
    monkeypatch.chdir(tmp_path)
    assert run(parse_args(["run", str(written), "--faces", "faces", "-o", "out"])) == 0
    student = Path("out/student.pt")
    for name in ("./faces", "faces/"):
        assert set(evaluate(student, None, (name,)).figures) == {"faces, TRAINED ON", "macs"}
        assert compare(student, student, None, (name,))["faces"]["trained_on"] == [True, True]


def test_a_student_without_its_run_is_not_overwritten(written: Path, portrait: np.ndarray, tmp_path: Path) -> None:
    faces, out = make_faces(tmp_path / "faces", portrait, 1), tmp_path / "out"
    out.mkdir()
    (out / "student.pt").write_bytes(b"of an earlier run")
    with pytest.raises(InputError, match=r"student.pt exists, and this run would replace it: choose another --out"):
        run(parse_args(["run", str(written), "--faces", str(faces), "-o", str(out)]))
    assert (out / "student.pt").read_bytes() == b"of an earlier run"
