"""fer-run on sources by position, several of them, mixed globs, folders in folders and standard input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from mien.cli import parse_args
from mien.errors import InputError, SourceError
from mien.sources.factory import open_source
from mien.types import Image

MakeClip = Callable[..., Path]
Run = Callable[..., int]


@pytest.fixture
def mixed(tmp_path: Path, portrait: Image, make_clip: MakeClip) -> Path:
    """Two pictures, a video, something else, and in a folder of it a picture and a video of the same names."""
    folder = tmp_path / "mixed"
    (folder / "below" / ".hidden").mkdir(parents=True)
    for name in ("shot1.png", "shot10.png", "below/shot1.png", "below/.hidden/shot1.png", ".shot.png"):
        cv2.imwrite(str(folder / name), portrait)
    make_clip(folder / "clip.mp4", frames=3)
    make_clip(folder / "below" / "clip.mp4", frames=4)
    (folder / "notes.txt").write_text("of no interest")
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_picture_by_position(
    fer_run: Run, tmp_path: Path, portrait: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), portrait)
    assert fer_run(tmp_path / "a.png") == 0
    assert "a.png  512x512  1 face" in capsys.readouterr().out


def test_options_may_stand_between_sources() -> None:
    args = parse_args(["a.jpg", "--csv", "x.csv", "b.jpg", "--flip", "c.jpg", "-"])
    assert args.sources == ["a.jpg", "b.jpg", "c.jpg", "-"]
    assert parse_args(["a.jpg", "--csv", "x.csv", "--", "-b.jpg", "--c.jpg"]).sources == ["a.jpg", "-b.jpg", "--c.jpg"]


def test_several_go_into_one_file_and_each_into_its_own(
    fer_run: Run, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.jsonl"
    save, summary = tmp_path / "save", tmp_path / "sum"
    sources = (mixed / "shot1.png", mixed / "clip.mp4", mixed / "below" / "clip.mp4")
    assert fer_run(*sources, "--json", out, "--save", save, "--summary", summary) == 0
    assert [row["source"] for row in rows(out)] == [*map(str, (sources[0], *[sources[1]] * 3, *[sources[2]] * 4))]
    assert {path.name for path in save.iterdir()} == {"shot1.png", "clip.mp4", "clip-2.mp4"}
    assert {path.name for path in summary.iterdir()} == {
        f"{stem}.{suffix}" for stem in ("shot1", "clip", "clip-2") for suffix in ("json", "png")
    }
    assert json.loads((summary / "clip-2.json").read_text())["frames"] == 4
    assert "8 frames of 3 sources, 8 faces" in capsys.readouterr().out


def test_a_glob_of_pictures_and_videos(
    fer_run: Run, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fer_run(mixed / "*", "--json", tmp_path / "o.jsonl", "--quiet") == 0
    names = [Path(row["source"]).name for row in rows(tmp_path / "o.jsonl")]
    assert names == ["shot1.png", "shot10.png", *["clip.mp4"] * 3]
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "because they are not supported: 1 .txt" in err


def test_a_folder_and_its_folders(fer_run: Run, mixed: Path, tmp_path: Path) -> None:
    assert fer_run(mixed, "--json", tmp_path / "a.jsonl", "--quiet") == 0
    assert len(rows(tmp_path / "a.jsonl")) == 5
    assert fer_run(mixed, "--recursive", "--json", tmp_path / "b.jsonl", "--quiet") == 0
    read = [row["source"] for row in rows(tmp_path / "b.jsonl")]
    assert len(read) == 10
    assert not any(".hidden" in name for name in read)
    with open_source(mixed, recursive=True) as source:
        assert source.count == 3


def test_a_folder_with_pictures_in_its_folders_alone_says_how(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(SourceError, match="read its subfolders too"):
        open_source(tmp_path / "a")


def test_a_glob_of_videos_is_one_source_only_where_it_is_one(tmp_path: Path, make_clip: MakeClip) -> None:
    make_clip(tmp_path / "a.mp4")
    with open_source(f"{tmp_path}/*.mp4") as source:
        assert source.kind == "video"
    make_clip(tmp_path / "b.mp4")
    with pytest.raises(InputError, match="holds 2 videos"):
        open_source(f"{tmp_path}/*.mp4")


def test_a_bad_one_among_several_is_a_warning_and_1(
    fer_run: Run, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = tmp_path / "none.mp4"
    assert fer_run(none, mixed / "clip.mp4", "--json", tmp_path / "o.jsonl", "--quiet") == 1
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith("fer-run: warning: there is no file or folder")
    assert err[-1] == f"fer-run: error: 1 of 2 sources failed: {none}"
    assert len(rows(tmp_path / "o.jsonl")) == 3


def test_all_bad_is_2_and_costs_nothing(fer_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_text("of worth")
    assert fer_run(tmp_path / "a.jpg", tmp_path / "b*.mp4", "--json", earlier) == 2
    assert "none of the 2 sources could be read" in capsys.readouterr().err
    assert earlier.read_text() == "of worth"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["0"], "has no end"),
        (["rtsp://127.0.0.1/x"], "has no end"),
        (["--serve", "0"], "--serve is for one source"),
        (["--offline"], "--offline is for one source"),
        (["--save", "out.mp4"], "need a folder"),
        (["--summary", "out.json"], "need a folder"),
        (["--save", "mixed"], "holds the files that are read"),
        (["--csv", "mixed/clip.mp4"], "would be overwritten"),
    ],
)
def test_what_several_cannot_have(
    fer_run: Run,
    mixed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(mixed.parent)
    assert fer_run(mixed / "clip.mp4", mixed / "shot1.png", *args) == 2
    assert message in capsys.readouterr().err


def test_a_video_into_a_folder(fer_run: Run, mixed: Path, tmp_path: Path) -> None:
    assert fer_run(mixed / "clip.mp4", "--save", f"{tmp_path}/new/", "--summary", f"{tmp_path}/new/") == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"clip.mp4", "clip.json", "clip.png"}


@pytest.mark.parametrize("name", ["shot1.png", "clip.mp4"])
def test_standard_input(tiny_bundle: Path, mixed: Path, name: str) -> None:
    with subprocess.Popen(["cat", str(mixed / name)], stdout=subprocess.PIPE) as cat:
        done = stdin(tiny_bundle, cat.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert {json.loads(line)["source"] for line in done.stdout.splitlines()} == {"stdin"}


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "standard input is empty"), (b"hello", "standard input is neither")]
)
def test_standard_input_that_is_none(tiny_bundle: Path, tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as file:
        done = stdin(tiny_bundle, file)
    assert done.returncode == 2
    assert message in done.stderr


def stdin(bundle: Path, what: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from mien.cli import main; main()", "-", "--json", "-", "--quiet"]
    command += ["--model", str(bundle), "--threads", "1"]
    return subprocess.run(command, stdin=what, capture_output=True, text=True, timeout=60, check=False)
