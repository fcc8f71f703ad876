"""Workers as processes: as many as were asked for, with the same results, and some that are killed."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from batch_runs import Mortal, content, run_here, run_with

from mien.batch.processes import Processes
from mien.batch.settings import Model


def test_one_and_two_workers_write_the_same_bytes(
    archive: list[Path], model: Model, tmp_path: Path, small_groups: None
) -> None:
    run_with(Processes(model, 1), tmp_path / "one", model, archive)
    run_with(Processes(model, 2), tmp_path / "two", model, archive)
    run_here(tmp_path / "here", model, archive)
    assert len(content(tmp_path / "one/faces")) == 6
    assert content(tmp_path / "one") == content(tmp_path / "two") == content(tmp_path / "here")
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_costs_its_input_alone(
    workers: int, archive: list[Path], model: Model, tmp_path: Path, small_groups: None
) -> None:
    """Pictures share a group with ones that kill their worker once, or always; a video kills it always."""
    names = {"a.jpg": 0, "b-once.jpg": 1, "c.jpg": 2, "d-deadly.jpg": 3, "e.jpg": 4}
    pictures = [path for path in archive if path.name.startswith("picture")]
    files = [Path(shutil.copy(pictures[number], tmp_path / name)) for name, number in names.items()]
    clip = next(path for path in archive if path.name == "clip.mp4")
    files += [Path(shutil.copy(clip, tmp_path / name)) for name in ("f.mp4", "g-deadly.mp4", "h-once.mp4")]
    run_with(Processes(model, workers, Mortal), tmp_path / "results", model, files)
    rows = pq.read_table(tmp_path / "results/index.parquet").to_pylist()
    assert [row["input"] for row in rows] == [str(path) for path in files]
    assert [row["state"] for row in rows] == ["failed" if "deadly" in row["input"] else "done" for row in rows]
    assert all("was killed" in row["error"] for row in rows if row["state"] == "failed")
    alive = [path for path in files if "deadly" not in path.name]
    for path in alive:
        (group,) = {row["part"] for row in rows if row["input"] == str(path)}
        seen = pq.read_table(tmp_path / "results/faces" / group)["source"].to_pylist().count(str(path))
        assert seen == (12 if path.suffix == ".mp4" else 1)
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"faces", "index.parquet", "options.json"}


def test_a_group_that_was_read_singly_is_the_same_file(archive: list[Path], model: Model, tmp_path: Path) -> None:
    pictures = [path for path in archive if path.name.startswith("picture")]
    files = [
        Path(shutil.copy(path, tmp_path / f"once-{path.name}" if i == 2 else tmp_path / path.name))
        for i, path in enumerate(pictures)
    ]
    run_with(Processes(model, 2, Mortal), tmp_path / "killed", model, files)
    run_here(tmp_path / "whole", model, files)
    assert (tmp_path / "once-picture2.jpg.killed").exists()
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
