"""``fer-enroll`` and ``fer-run --personal``, as from a shell."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien import cli
from mien.cli import enroll
from mien.cli.options import parse_args
from mien.enrollment.storage import load_personal
from mien.recognizer import Recognizer
from mien.types import Frame, Image


@pytest.fixture
def shots(tmp_path: Path, portrait: Image) -> Path:
    """A folder with three pictures of the portrait and one without a face."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for i, scale in enumerate((1.0, 0.9, 0.8)):
        cv2.imwrite(str(folder / f"{i}.png"), cv2.convertScaleAbs(portrait, alpha=scale))
    cv2.imwrite(str(folder / "none.png"), np.full((200, 200, 3), 90, np.uint8))
    return folder


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> int:
        return enroll.run(enroll.parse_args([*map(str, words)]))

    return run


def learned(path: str = "personal.npz") -> tuple[str, ...]:
    return load_personal(path, Recognizer(device="cpu", precision="fp32", threads=1).card).labels


def test_learn_list_rename_use_and_remove(
    shell: Callable[..., int], shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell("wide grin", "--source", shots, "--device", "cpu") == 0
    told = capsys.readouterr().out
    assert "wide grin: 3 examples (1 picture without a face left out)" in told
    assert "fer-run --personal personal.npz" in told
    assert shell("--rename", "wide grin", "grin") == 0
    assert shell("--list") == 0
    assert capsys.readouterr().out == "grin: 3 examples\n" * 2
    run = ["--source", str(shots / "0.png"), "--personal", "personal.npz", "--csv", "x.csv", "--json", "x.jsonl"]
    assert cli.run(parse_args([*run, "--save", "x.jpg", "--summary", "x.json", "--device", "cpu", "--quiet"])) == 0
    with open("x.csv") as file:
        (row,) = csv.DictReader(file)
    assert row["expression"] == "grin"
    assert float(row["p_grin"]) == pytest.approx(float(row["confidence"]))
    assert json.loads(Path("x.jsonl").read_text())["probabilities"].keys() >= {"grin", "neutral"}
    assert json.loads(Path("x.json").read_text())["readings"]["expressions"] == {"grin": 1}
    assert cv2.imread("x.jpg") is not None
    assert shell("--remove", "grin") == 0
    assert capsys.readouterr().out == "nothing learned yet\n"
    assert learned() == ()


def test_what_another_model_learned_is_said_to_be_for_that_model(
    shell: Callable[..., int], shots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell("wide grin", "--source", shots, "--device", "cpu", "--model", "xs") == 0
    assert "use it with: fer-run --model xs --personal personal.npz" in capsys.readouterr().out


def test_a_clip_gives_more_examples_to_a_known_label(
    shell: Callable[..., int], shots: Path, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.avi", frames=45, size=(480, 270))
    assert shell("grin", "--source", shots / "0.png", "--device", "cpu") == 0
    assert shell("grin", "--source", clip, "--device", "cpu", "--max-loss", "5") == 0
    card = Recognizer(device="cpu", precision="fp32", threads=1).card
    assert len(load_personal("personal.npz", card).examples["grin"]) == 1 + enroll.FRAMES_FROM_CLIP


class Camera:
    """Frames in real time, without end."""

    kind, name, count, paths = "live", "camera 0", None, ()

    def __init__(self, image: Image):
        self.image = image
        self.closed = False

    def __iter__(self) -> Iterator[Frame]:
        for i in range(10**6):
            time.sleep(0.02)
            yield Frame(self.image, i * 0.02, i, self.name)

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


def test_a_camera_counts_down_before_it_takes_pictures(
    shell: Callable[..., int],
    portrait: Image,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    camera = Camera(portrait)
    monkeypatch.setattr(enroll, "open_source", lambda *_, **__: camera)
    assert shell("grin", "--camera", "0", "--shots", "2", "--countdown", "1", "--device", "cpu") == 0
    assert camera.closed
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == ["hold the expression in 1 ...", "picture 1 of 2", "picture 2 of 2"]
    assert learned() == ("grin",)


def test_a_camera_on_its_side_is_turned(shell: Callable[..., int], portrait: Image, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "lying.png"), np.rot90(portrait))
    assert shell("grin", "--source", tmp_path / "lying.png", "--rotate", "90", "--flip", "--device", "cpu") == 0
    assert learned() == ("grin",)


class Terminal:
    """A person who gives one answer."""

    def __init__(self, answer: str):
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        assert not Path("personal.npz").exists(), "asked before it is saved"
        return self.answer


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_at_a_terminal_doubts_are_asked_about_before_anything_is_saved(
    shell: Callable[..., int], shots: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    answer: str, code: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert shell("grin", "--source", shots / "0.png", "--device", "cpu") == code
    said = capsys.readouterr().err
    assert "note: one picture cannot show how surely 'grin' will be recognized" in said
    assert "save it all the same? [y/N]" in said
    assert Path("personal.npz").exists() == (code == 0)


def test_away_from_a_terminal_doubts_are_told_and_nothing_is_asked(
    shell: Callable[..., int], shots: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert shell("grin", "--source", shots / "0.png", "--device", "cpu") == 0
    said = capsys.readouterr().err
    assert "note: one picture" in said
    assert "save it" not in said
    assert learned() == ("grin",)


def test_what_is_refused_leaves_the_file_as_it_was(
    shell: Callable[..., int], shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell("grin", "--source", shots / "0.png", "--device", "cpu") == 0
    before = Path("personal.npz").read_bytes()
    capsys.readouterr()
    for words, code, told in (
        (("happiness", "--source", shots), 2, "knows already"),
        (("beam", "--source", shots / "0.png"), 2, "is an example of 'grin' already"),
        (("beam", "--source", shots / "none.png"), 2, "no face found in picture 1 of 1"),
        (("beam", "--source", tmp_path / "no"), 2, "no file or folder"),
        (("--neutral", "--source", shots), 2, "clearly show happiness"),
        (("--remove", "wink"), 2, "no learned expression 'wink'; there are: grin"),
        (("--rename", "grin", "fear"), 2, "knows already"),
        (("--list", "--personal", "none.npz"), 2, "fer-enroll makes such files"),
        (("beam", "--source", shots, "--personal", shots / "0.png"), 2, "is the file that is read"),
    ):
        extra = () if words[0].startswith("--r") or words[0] == "--list" else ("--device", "cpu")
        assert shell(*words, *extra) in (1, code), words
        assert told in capsys.readouterr().err
    assert Path("personal.npz").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        [], ["x"], ["x", "--list"], ["--list", "--source", "a"], ["x", "--source", "a", "--camera", "0"],
        ["x", "--camera", "0", "--shots", "0"], ["x", "--camera", "0", "--max-loss", "nan"], ["--neutral"],
        ["x", "--camera", "0", "--countdown", "-1"],
    ],
)  # fmt: skip
def test_bad_usage_ends_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        enroll.parse_args(words)
    assert error.value.code == 2


def test_another_models_file_is_refused_by_fer_run(
    shell: Callable[..., int],
    shots: Path,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shell("grin", "--source", shots / "0.png", "--device", "cpu") == 0
    run = ["--source", str(shots / "0.png"), "--personal", "personal.npz", "--model", str(tiny_bundle)]
    assert cli.run(parse_args([*run, "--device", "cpu"])) == 2
    assert "learned with another model than tiny" in capsys.readouterr().err
