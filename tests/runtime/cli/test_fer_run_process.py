"""fer-run as a process: signals, a reader that leaves, and what libraries print."""

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

import pytest

from mien.sources.base import Kind, Source
from mien.sources.factory import open_source
from mien.types import Frame, Image

MakeClip = Callable[..., Path]
Run = Callable[..., int]


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
