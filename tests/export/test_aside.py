"""What stands in a bundle's folder and is not the bundle's stays there."""

import shutil
from pathlib import Path

import pytest
from tiny_conv import write_conv_bundle

from mien.bundle import DEFAULT, MODELS
from mien.bundle.card import CARD
from mien.errors import OutputError
from mien_export.aside import aside
from mien_export.pack import Wanted, pack


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_conv_bundle(tmp_path / "bundle")


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_own_files_beside_a_bundle_are_not_lost(bundle: Path, tmp_path: Path) -> None:
    (bundle / "photos").mkdir()
    (bundle / "photos/a.jpg").write_bytes(b"precious")
    (bundle / "notes.txt").write_text("precious")
    before = held(bundle)
    with pytest.raises(OutputError, match=r"holds more than a bundle: notes\.txt, photos; choose another folder"):
        pack(bundle, bundle, Wanted(half=True))
    assert held(bundle) == before
    assert list(tmp_path.iterdir()) == [bundle]


def test_a_bundle_with_all_that_exports_write_is_replaced(bundle: Path, tmp_path: Path) -> None:
    pack(bundle, bundle, Wanted(int8=True, half=True))
    assert {"ranges.json", "golden.json", "model.int8.onnx", "MODEL_CARD.md"} <= set(held(bundle))
    pack(bundle, bundle, Wanted(half=True))
    packaged = shutil.copytree(MODELS / DEFAULT, tmp_path / "packaged")
    with aside(packaged) as folder:
        (folder / "new").write_text("new")
    assert held(packaged) == {"new": b"new"}


def export_while_notes_are_written(out: Path) -> None:
    with aside(out):
        out.mkdir(exist_ok=True)
        (out / "notes.txt").write_text("precious")


def test_what_comes_during_an_export_is_not_lost(bundle: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    with pytest.raises(OutputError, match="holds more than a bundle"):
        export_while_notes_are_written(bundle)
    with pytest.raises(OutputError, match="is not a bundle"):
        export_while_notes_are_written(new)
    assert held(new) == {"notes.txt": b"precious"}
    assert {CARD, "model.onnx", "notes.txt"} <= set(held(bundle))
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "new"}


def test_the_current_folder_is_not_removed(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = held(bundle)
    monkeypatch.chdir(bundle)
    with pytest.raises(OutputError, match="is the current folder"):
        pack("default", Path(), Wanted())
    assert held(bundle) == before


def test_a_card_that_cannot_be_read_says_nothing_of_the_files(bundle: Path, tmp_path: Path) -> None:
    (bundle / CARD).write_text("{}")
    with pytest.raises(OutputError, match=r"cannot be replaced: .*card\.json"):
        pack("default", bundle, Wanted())
    assert (bundle / "model.onnx").is_file()
