"""Folders of results: which are refused, and what a full disk or a killed run leaves."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from batch_runs import content, run_here
from tiny_disk import tiny_disk

from mien.batch.folder import Folder, check_options, known_options
from mien.batch.settings import Model
from mien.errors import OutputError


def test_folders_of_others_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("all")
    (tmp_path / "file").write_text("a")
    for name, words in (
        ("mine", "holds other files"),
        ("file", "is a file"),
        ("gone/results", "does not exist"),
        ("s3://bucket/results", "folder of this machine"),
        ("a\0b", "choose another name"),
    ):
        with pytest.raises(OutputError, match=words):
            known_options(name if ":" in name else str(tmp_path / name))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert known_options(str(tmp_path / "new")) is None


def test_other_options_are_told(archive: list[Path], model: Model, tmp_path: Path) -> None:
    run_here(tmp_path / "results", model, archive[:1])
    known = known_options(str(tmp_path / "results"))
    assert known == model.told
    wanted = {**model.told, "min_face": 20.0, "model": "other 123", "mien": "9.0"}
    with pytest.raises(OutputError, match=r"smallest face: 0\.0 there, 20\.0 now") as caught:
        check_options("results", known, wanted)
    assert "version of mien" in str(caught.value)


def test_a_second_driver_is_refused(model: Model, tmp_path: Path) -> None:
    first = Folder(str(tmp_path / "results"), model.told)
    with pytest.raises(OutputError, match="another fer-batch"):
        Folder(str(tmp_path / "results"), model.told)
    first.close()
    Folder(str(tmp_path / "results"), model.told).close()


def test_what_a_killed_run_left_half_written_is_removed(archive: list[Path], model: Model, tmp_path: Path) -> None:
    run_here(tmp_path / "results", model, archive[:1])
    before = content(tmp_path / "results")
    (tmp_path / "results/faces/.clip-0123456789.4711.parquet").write_bytes(b"PAR1")
    (tmp_path / "results/.index.4711.parquet").write_bytes(b"")
    Folder(str(tmp_path / "results"), model.told).close()
    assert content(tmp_path / "results") == before


def test_a_file_that_is_damaged_is_named(archive: list[Path], model: Model, tmp_path: Path) -> None:
    run_here(tmp_path / "results", model, archive[:1])
    (tmp_path / "results/index.parquet").unlink()
    (part,) = (tmp_path / "results/faces").iterdir()
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(OutputError, match=part.name):
        Folder(str(tmp_path / "results"), model.told)


def test_a_full_disk_ends_the_run_and_it_goes_on(
    archive: list[Path], model: Model, tmp_path: Path, small_groups: None
) -> None:
    run_here(tmp_path / "whole", model, archive)
    sizes = sorted(path.stat().st_size for path in (tmp_path / "whole/faces").iterdir())
    with tiny_disk(sizes[-1] - 1), pytest.raises(OutputError, match="free some space"):
        run_here(tmp_path / "full", model, archive)
    left = content(tmp_path / "full")
    assert all(content(tmp_path / "whole").get(name) == data for name, data in left.items() if "index" not in name)
    run_here(tmp_path / "full", model, archive)
    assert content(tmp_path / "full") == content(tmp_path / "whole")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission"):
        known_options(str(tmp_path / "results"))


def test_an_encoder_is_part_of_the_options(model: Model) -> None:
    assert {"segment_s", "temporal", "device", "precision", "personal"} <= set(replace(model).told)
