"""Files that are whole or not there."""

from pathlib import Path

import pytest

from mien.errors import OutputError
from mien.files import replacing, write_whole


def test_a_file_is_replaced_where_the_block_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "figures.npz"
    path.write_bytes(b"old")
    with replacing(path) as aside:
        aside.write_bytes(b"new")
        assert (aside.parent, aside.suffix) == (tmp_path, ".npz")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "figures.npz"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), replacing(path) as aside:
        aside.write_bytes((tmp_path / "missing").read_bytes())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_keeps_pointing_at_the_file_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "elsewhere" / "real.json")
    write_whole(link, b"{}")
    assert link.is_symlink()
    assert (tmp_path / "elsewhere" / "real.json").read_bytes() == b"{}"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*a\.json"):
        write_whole(tmp_path / "none" / "a.json", b"{}")
