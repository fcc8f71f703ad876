"""Exit codes and messages of fer-run: of bad usage, bad input and output, and of what fails while it runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from mien.cli import parse_args, run
from mien.recognizer import Recognizer

MakeClip = Callable[..., Path]
Run = Callable[..., int]


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["a", "--camera", "0"],
        ["--demo", "--source", "a"],
        ["--camera", "-1"],
        ["--camera", "front"],
        ["--demo", "--max-frames", "0"],
        ["--demo", "--threads", "two"],
        ["--demo", "--device", "abacus"],
        ["--demo", "--json", "-", "--csv", "-"],
        ["--demo", "--save", "-"],
        ["--camera", "0", "--min-confidence", "1"],
        ["--camera", "0", "--smoothing", "-1"],
        ["--camera", "0", "--baseline", "nan"],
        ["--camera", "0", "--token", "secret"],
    ],
)
def test_bad_usage_is_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_args(args)
    assert caught.value.code == 2
    assert "fer-run: error:" in capsys.readouterr().err


def test_demo_without_scikit_image(
    fer_run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mien.sources.demo.find_spec", lambda _: None)
    assert fer_run("--demo") == 2
    assert "pip install scikit-image" in capsys.readouterr().err


def test_bad_input_is_2_and_bad_output_too(
    fer_run: Run, tmp_path: Path, make_clip: MakeClip, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2)
    (tmp_path / "text.jpg").write_text("hello")
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_text("of worth")
    for args, message in [
        (["--source", tmp_path / "text.jpg"], "text.jpg is not a picture"),
        (["--source", tmp_path / "none.mp4"], "no file or folder"),
        (["--camera", 63], "cannot open camera 63"),
        (["--source", clip, "--json", tmp_path / "none" / "a.jsonl"], "mkdir -p"),
        (["--source", clip, "--csv", clip], "would be overwritten"),
        (["--source", clip, "--parquet", clip], "would be overwritten"),
        (["--source", clip, "--parquet", "-"], "give it the name of a file"),
        (["--source", clip, "--save", tmp_path / "a.gif"], "end the name with one of .mp4"),
        (["--source", clip, "--min-face", -3], "min_face"),
        (["--source", clip, "--json", earlier, "--precision", "int8"], "has no int8 model"),
        (["--source", clip, "--show"], "a window needs"),
    ]:
        if "--show" in args and cv2.currentUIFramework() and os.environ.get("DISPLAY"):
            continue
        assert fer_run(*args) == 2
        err = capsys.readouterr().err
        assert err.startswith("fer-run: error: ")
        assert message in err
    assert earlier.read_text() == "of worth"


def test_a_missing_model_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parse_args(["--demo", "--save", str(tmp_path / "a.png"), "--model", str(tmp_path / "none")])) == 2
    assert "no model" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


def test_an_engine_that_fails_and_a_full_disk_are_1(
    fer_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if os.path.exists("/dev/full"):
        assert fer_run("--demo", "--json", "/dev/full") == 1
        assert "/dev/full" in capsys.readouterr().err

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Recognizer, "predict", fail)
    assert fer_run("--demo") == 1
    err = capsys.readouterr().err
    assert "/cpu fp32 failed on frame 0" in err
    assert "out of memory" in err
