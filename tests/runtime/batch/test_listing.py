"""What the sources of a run stand for."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from mien.batch.inputs import stored_input
from mien.batch.listing import find_inputs
from mien.batch.pieces import PICTURES, plan
from mien.errors import InputError, SourceError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = ("b/frame10.jpg", "b/frame2.jpg", "a.jpg", "clip.mp4", "notes.doc", ".hidden.jpg", "results/summary.png")
    for name in files:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"0")
    return tmp_path / "in"


def names(folder: Path, *sources: object) -> list[str]:
    found = find_inputs([str(source) for source in sources], folder / "results")
    return [str(Path(item.name).relative_to(folder)) for item in found]


def test_a_folder_with_all_below_it_but_the_results(folder: Path) -> None:
    assert names(folder, folder) == ["a.jpg", "b/frame2.jpg", "b/frame10.jpg", "clip.mp4"]


def test_each_file_once_by_its_absolute_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert names(folder, "clip.mp4", "b/../clip.mp4", folder / "b", "b/*.jpg") == [
        "clip.mp4", "b/frame2.jpg", "b/frame10.jpg",
    ]  # fmt: skip


def test_a_list_names_files_folders_and_globs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "list.txt").write_text(f"# mine\n\n{folder}/clip.mp4\n{folder}/b\r\n{folder}/*.jpg\n{folder}/gone.jpg\n")
    expected = ["clip.mp4", "b/frame2.jpg", "b/frame10.jpg", "a.jpg", "gone.jpg"]
    assert names(folder, folder / "list.txt") == expected
    monkeypatch.setattr("sys.stdin", io.StringIO((folder / "list.txt").read_text()))
    assert names(folder, "-") == expected


def test_names_that_are_no_utf8_are_read_and_shown_with_escapes(folder: Path) -> None:
    odd = Path(f"{folder}/caf\udce9.jpg")
    odd.write_bytes(b"0")
    (item,) = find_inputs([str(odd)], folder / "results")
    assert (item.name, item.place) == (f"{folder}/caf\\xe9.jpg", str(odd))


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("gone.jpg", SourceError, "there is no file or folder"),
        ("gone*.jpg", SourceError, "no file matches"),
        ("results", SourceError, "nothing to read"),
        ("empty.txt", SourceError, "holds no paths"),
        ("rtsp://user:secret@camera/stream", InputError, "rtsp://camera/stream has no end"),
        ("0", InputError, "has no end"),
        ("", InputError, "is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_listed_is_an_error(
    source: str, error: type[Exception], words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("empty.txt").write_text("\n# none\n")
    with pytest.raises(error, match=words):
        find_inputs([source], folder / "results")


def test_secrets_are_hidden_and_names_still_differ() -> None:
    one, other = (stored_input(f"https://u:pw@host/a.jpg?token={key}") for key in "ab")
    assert "pw" not in one.name
    assert one.name != other.name
    assert stored_input("s3://bucket/date=2026-01-01/a.jpg").name == "s3://bucket/date=2026-01-01/a.jpg"


def test_what_remains_is_planned_as_before(folder: Path) -> None:
    inputs = [stored_input(f"s3://b/{i}.jpg") for i in range(3 * PICTURES + 5)]
    inputs += [stored_input(f"s3://b/{i}.mp4", 10 + i) for i in range(3)]
    pieces = plan(inputs)
    assert [len(piece.inputs) for piece in pieces] == [1, 1, 1, PICTURES, PICTURES, PICTURES, 5]
    assert [piece.inputs[0].size for piece in pieces[:3]] == [12, 11, 10]
    done = {item for piece in (pieces[1], pieces[4], pieces[6]) for item in piece.inputs}
    assert plan(item for item in inputs if item not in done) == [pieces[i] for i in (0, 2, 3, 5)]
    assert len({piece.part for piece in pieces}) == len(pieces)
