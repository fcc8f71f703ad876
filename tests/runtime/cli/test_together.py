"""fer-run with several sources at once: the results of each alone, what is refused, and what is lost and comes back."""

from __future__ import annotations

import csv
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from played_videos import played
from scripted_camera import Camera, gray

from mien.cli import parse_args, together
from mien.errors import SourceError
from mien.sources.base import Source
from mien.types import Frame, Image

MakeClip = Callable[..., Path]
Run = Callable[..., int]


@pytest.fixture
def clips(tmp_path: Path, make_clip: MakeClip) -> list[Path]:
    return [make_clip(tmp_path / "a.mp4", frames=20), make_clip(tmp_path / "b.mp4", frames=9, size=(256, 160))]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_gets_what_it_gets_alone(
    fer_run: Run, clips: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    files = ("--json", tmp_path / "all.jsonl", "--csv", tmp_path / "all.csv", "--save", out, "--summary", out)
    assert fer_run("--source", f"10.0.0.5-front={clips[0]}", "--source", clips[1], *files) == 0
    assert "29 frames of 2 sources, 29 faces" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        f"{name}.{suffix}" for name in ("10.0.0.5-front", "b") for suffix in ("mp4", "json", "png")
    }
    with (tmp_path / "all.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    for name, clip in zip(("10.0.0.5-front", "b"), clips, strict=True):
        assert fer_run(clip, "--json", tmp_path / "alone.jsonl", "--csv", tmp_path / "alone.csv", "--quiet") == 0
        assert fer_run(clip, "--save", tmp_path / "alone.mp4", "--summary", tmp_path / "alone.json", "--quiet") == 0
        alone = [row | {"source": name} for row in rows(tmp_path / "alone.jsonl")]
        assert [row for row in rows(tmp_path / "all.jsonl") if row["source"] == name] == alone
        with (tmp_path / "alone.csv").open(newline="") as file:
            assert [row for row in table if row["source"] == name] == [
                row | {"source": name} for row in csv.DictReader(file)
            ]
        assert played(out / f"{name}.mp4") == played(tmp_path / "alone.mp4")
        summary = json.loads((tmp_path / "alone.json").read_text())
        assert json.loads((out / f"{name}.json").read_text()) == summary | {"source": name}


def test_a_single_source_may_have_a_name(fer_run: Run, clips: list[Path], tmp_path: Path) -> None:
    assert fer_run("--source", f"front={clips[0]}", "--json", tmp_path / "o.jsonl", "--quiet") == 0
    assert {row["source"] for row in rows(tmp_path / "o.jsonl")} == {"front"}
    assert fer_run("--source", clips[0], "--json", tmp_path / "o.jsonl", "--quiet") == 0
    assert {row["source"] for row in rows(tmp_path / "o.jsonl")} == {str(clips[0])}


def test_so_many_frames_of_each(fer_run: Run, clips: list[Path], tmp_path: Path) -> None:
    args = ("--source", clips[0], "--source", clips[1], "--max-frames", 5, "--csv", tmp_path / "o.csv", "--quiet")
    assert fer_run(*args) == 0
    with (tmp_path / "o.csv").open(newline="") as file:
        read = [(row["source"], int(row["frame"])) for row in csv.DictReader(file)]
    assert sorted(read) == [(name, index) for name in ("a", "b") for index in range(5)]


def test_one_live_page_for_all(fer_run: Run, clips: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    told: list[str] = []
    real = together.Streams.run

    def look(streams: together.Streams, take: Callable[..., None]) -> None:
        url = re.search(r"http://\S+", capsys.readouterr().err)
        assert url
        real(streams, take)
        with urllib.request.urlopen(f"{url[0]}metrics", timeout=5) as answer:
            told.append(answer.read().decode())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together.Streams, "run", look)
        assert fer_run("--source", clips[0], "--source", f"back={clips[1]}", "--serve", "0") == 0
    for line in ('mien_frames_total{source="a"} 20', 'mien_latency_seconds_count{source="back"} 9'):
        assert f"\n{line}\n" in told[0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a.mp4", "--source", "b.mp4"], "give only one of these kinds"),
        (["--demo", "--camera", "0"], "give only one of these kinds"),
        (["--source", "x/a.mp4", "--source", "y/A.avi"], "two sources have the name 'A'"),
        (["--camera", "0", "--camera", "0"], "--source NAME=SOURCE"),
        (["--source", "front=0", "--source", "front=1"], "two sources have the name 'front'"),
        (["--source", "a/b=0", "--camera", "1"], "no slash"),
        (["--source", "front=", "--camera", "1"], "is empty"),
        (["--source", "a.mp4", "--source", "b.mp4", "--recursive"], "is for folders"),
    ],
)
def test_bad_usage_is_2(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_args(args)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--source", "none.mp4"], "there is no file or folder none.mp4"),
        (["--source", "nothing://10.0.0.5/x"], "cannot open nothing://10.0.0.5/x"),
        (["--camera", "63"], "cannot open camera 63"),
        (["--source", "-"], "standard input (-) has to be read whole"),
        (["--source", "shot.png"], "shot is a picture"),
        (["--source", "shots"], "shots is a picture or a folder of pictures"),
        (["--source", "b.mp4", "--show"], "--show is for one source"),
        (["--source", "b.mp4", "--offline"], "--offline is for one source"),
        (["--source", "b.mp4", "--save", "x.mp4"], "need a folder"),
        (["--source", "b.mp4", "--csv", "b.mp4"], "would be overwritten"),
    ],
)
def test_what_cannot_be_read_at_once_costs_no_earlier_result(
    fer_run: Run,
    clips: list[Path],
    portrait: Image,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    message: str,
) -> None:
    folder = clips[0].parent
    monkeypatch.chdir(folder)
    (folder / "shots").mkdir()
    for name in ("shot.png", "shots/one.png"):
        cv2.imwrite(name, portrait)
    earlier = folder / "earlier.jsonl"
    earlier.write_text("of worth")
    assert fer_run("--source", "a.mp4", *args, "--json", earlier) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert earlier.read_text() == "of worth"


def test_one_that_is_lost_and_back_holds_up_no_other(
    fer_run: Run,
    clips: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    portrait: Image,
) -> None:
    camera = Camera([portrait] * 3, SourceError("unplugged"), [portrait] * 200, pace=0.02)
    real = together.open_source
    monkeypatch.setattr(
        together, "open_source", lambda spec, **rest: camera.live() if spec == 0 else real(spec, **rest)
    )
    out = tmp_path / "o.jsonl"
    assert fer_run("--camera", 0, "--source", clips[0], "--max-frames", 30, "--json", out) == 0
    read = [row["source"] for row in rows(out)]
    assert (read.count("camera-0"), read.count("a")) == (30, 20)
    assert read.index("a") < 5
    err = capsys.readouterr().err
    assert "fer-run: warning: camera-0 was lost after" in err
    assert "fer-run: warning: camera-0 is back after" in err


def test_one_that_breaks_is_a_warning_and_1(
    fer_run: Run, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Breaking(Source):
        kind, name = "video", "b"

        def __iter__(self) -> Iterator[Frame]:
            yield Frame(gray(9, (64, 64)), 0.0, 0, self.name)
            raise SourceError("b cannot be decoded after frame 1")

    real = together.open_source
    monkeypatch.setattr(together, "open_source", lambda spec, **rest: Breaking() if spec == "b" else real(spec, **rest))
    assert fer_run("--source", clips[0], "--source", "b", "--json", tmp_path / "o.jsonl", "--quiet") == 1
    assert capsys.readouterr().err.splitlines() == [
        "fer-run: warning: b cannot be decoded after frame 1",
        "fer-run: error: 1 of 2 sources failed: b",
    ]
    assert len(rows(tmp_path / "o.jsonl")) == 20
