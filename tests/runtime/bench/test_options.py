"""The options of fer-bench, and inputs and outputs that it refuses before it measures anything."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from bench_runs import Bench

from mien.bench import parse_args

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    "args",
    [
        ["--threads", "0"],
        ["--threads", "1,,2"],
        ["--threads", ""],
        ["--threads", "²"],
        ["--batch", "two"],
        ["--batch", "1000000"],
        ["--batch", "-1"],
        ["--seconds", "0"],
        ["--seconds", "nan"],
        ["--seconds", "inf"],
        ["--device", "abacus"],
        ["--precision", "int3"],
        ["--plot", "bars.jpg"],
        ["--plot", "a.png", "--json", "a.png"],
        ["--json", ""],
        ["--clip", ""],
        ["talk.mp4"],
    ],
)
def test_bad_usage_is_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_args(args)
    assert caught.value.code == 2
    assert "fer-bench: error:" in capsys.readouterr().err


def test_the_command_is_kept() -> None:
    args = parse_args(["--threads", "2,1,2", "--clip", "a b.mp4"])
    assert args.threads == [2, 1]
    assert args.command == "fer-bench --threads 2,1,2 --clip 'a b.mp4'"


def test_a_bad_clip_is_2_before_anything_is_measured(
    bench: Bench, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "half.mp4").write_bytes(clip.read_bytes()[:600])
    (tmp_path / "notes.txt").write_text("no video")
    cv2.imwrite(str(tmp_path / "still.png"), np.zeros((8, 8, 3), np.uint8))
    for name in ("empty.mp4", "half.mp4", "notes.txt", "still.png", ".", "none.mp4"):
        assert bench("--clip", str(tmp_path / name)) == (2, None), name
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("fer-bench: error: "), name
        assert len(err.splitlines()) == 1, name
    for name in ("0", "rtsp://127.0.0.1:1/live"):
        assert bench("--clip", name) == (2, None)
        assert f"there is no file {name}" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_2_before_anything_is_measured(
    bench: Bench, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = clip.read_bytes()
    for args in (
        ["--json", str(tmp_path)],
        ["--json", str(tmp_path / "none" / "r.json")],
        ["--plot", str(tmp_path / "none" / "r.png")],
        ["--json", str(clip)],
    ):
        assert bench(*args)[0] == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("fer-bench: error: "), args
    assert clip.read_bytes() == before


def test_a_model_that_does_not_exist_is_2(bench: Bench, tmp_path: Path) -> None:
    assert bench("--model", str(tmp_path / "none")) == (2, None)
