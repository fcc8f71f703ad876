from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.cli import parse_args, run
from mien.recognizer import Recognizer
from mien.sources.base import Kind, Source
from mien.sources.factory import open_source
from mien.types import Frame, Image

MakeClip = Callable[..., Path]
Run = Callable[..., int]


@pytest.fixture
def fer_run(tiny_bundle: Path) -> Run:
    def call(*args: object) -> int:
        return run(parse_args([*map(str, args), "--model", str(tiny_bundle), "--threads", "1"]))

    return call


def command(bundle: Path, *args: object) -> Sequence[str]:
    return [
        sys.executable,
        "-c",
        "from mien.cli import main; main()",
        *map(str, args),
        "--model",
        str(bundle),
        "--threads",
        "1",
    ]


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--source", "a", "--camera", "0"],
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


def test_demo(
    fer_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fer_run("--demo") == 0
    out = capsys.readouterr().out
    assert "512x512  1 face" in out
    assert str(tmp_path / "demo.jpg") in out
    assert "/cpu fp32" in out
    drawn = cv2.imread(str(tmp_path / "demo.jpg"))
    assert drawn is not None
    assert drawn.shape == (512, 512, 3)


def test_demo_without_scikit_image(
    fer_run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mien.sources.demo.find_spec", lambda _: None)
    assert fer_run("--demo") == 2
    assert "pip install scikit-image" in capsys.readouterr().err


def test_a_video_with_everything(
    fer_run: Run, tmp_path: Path, make_clip: MakeClip, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    assert (
        fer_run(
            "--source",
            clip,
            "--save",
            tmp_path / "out.mp4",
            "--csv",
            tmp_path / "out.csv",
            "--json",
            "-",
            "--max-frames",
            8,
        )
        == 0
    )
    captured = capsys.readouterr()
    records = [json.loads(line) for line in captured.out.splitlines()]
    assert [record["frame"] for record in records] == list(range(8))
    assert [record["time"] for record in records] == pytest.approx([i / 25 for i in range(8)])
    assert all(sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-4) for record in records)
    assert "8 frames, 8 faces" in captured.err
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["expression"] for row in rows] == [record["expression"] for record in records]
    with open_source(tmp_path / "out.mp4") as source:
        assert (source.fps, source.size, len(list(source))) == (25.0, (320, 180), 8)


def test_a_folder_goes_on_after_bad_pictures(
    fer_run: Run, tmp_path: Path, portrait: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    data = cv2.imencode(".jpg", portrait)[1].tobytes()
    (folder / "1.jpg").write_bytes(data[:9000])
    (folder / "2.jpg").write_bytes(data)
    (folder / "3.jpg").write_text("hello")
    assert fer_run("--source", folder) == 0
    captured = capsys.readouterr()
    assert "2.jpg  512x512  1 face" in captured.out
    assert captured.err.count("fer-run: warning: skipped:") == 2
    assert fer_run("--source", folder, "--save", tmp_path / "out", "--quiet") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["2.jpg"]
    assert capsys.readouterr().out == ""
    (folder / "2.jpg").unlink()
    assert fer_run("--source", folder) == 2


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


def test_a_face_free_picture_is_fine(fer_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shape in ((1, 1), (60, 12000)):
        cv2.imwrite(str(tmp_path / "a.png"), np.zeros(shape, dtype=np.uint8))
        assert fer_run("--source", tmp_path / "a.png", "--save", tmp_path / "b.png") == 0
        assert "0 faces" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_a_playable_video_and_whole_lines(
    tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip, number: signal.Signals
) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3000, size=(64, 48))
    lines, video = tmp_path / "out.csv", tmp_path / "out.mp4"
    process = subprocess.Popen(
        command(tiny_bundle, "--source", clip, "--save", video, "--csv", lines),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (lines.exists() and lines.read_text().count("\n") > 5):
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err == ""
    frames = int(out.split()[0])
    assert 5 <= frames < 3000
    with open_source(video) as source:
        assert len(list(source)) == frames
    assert lines.read_text().endswith("\n")
    with lines.open(newline="") as file:
        assert all(row["arousal"] for row in csv.DictReader(file))


class Endless(Source):
    """Sends itself a Ctrl-C at its third frame, and goes on."""

    fps = 25.0

    def __init__(self, kind: Kind, image: Image):
        self.kind, self.name, self.image = kind, "endless", image

    def __iter__(self) -> Iterator[Frame]:
        for index in range(50):
            if index == 2:
                signal.raise_signal(signal.SIGINT)
            yield Frame(self.image, index / 25, index, self.name)


@pytest.mark.parametrize(("kind", "code"), [("live", 0), ("video", 130)])
def test_ctrl_c_is_the_normal_end_of_a_camera_only(
    fer_run: Run,
    portrait: Image,
    kind: Kind,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("mien.cli.fer_run.open_source", lambda *_, **__: Endless(kind, portrait))
    before = signal.getsignal(signal.SIGINT)
    assert fer_run("--camera", 0) == code
    assert "3 frames, 3 faces" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before


def test_a_reader_that_leaves_ends_it_quietly(tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=200)
    process = subprocess.Popen(
        command(tiny_bundle, "--source", clip, "--json", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=30) == 0


def test_no_noise_of_opencv_reaches_the_terminal(tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip) -> None:
    broken = make_clip(tmp_path / "in.mp4")
    broken.write_bytes(broken.read_bytes()[:-400])
    for args in (["--source", broken], ["--camera", "63"], ["--source", "rtsp://127.0.0.1:9/x"]):
        done = subprocess.run(command(tiny_bundle, *args), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("fer-run: error: ")
