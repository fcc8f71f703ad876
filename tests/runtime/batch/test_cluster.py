"""Workers of a Ray cluster: the results of one process, and one that is killed. Skipped where Ray is not installed."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from batch_runs import Mortal, content, run_here, run_with

from mien.batch.cluster import Cluster, check_address
from mien.batch.settings import Model
from mien.cli.fer_batch import parse_args, run
from mien.errors import EngineUnavailable, InputError

pytest.importorskip("ray", reason="Ray is not installed")


def test_two_workers_write_the_bytes_of_one_process_though_one_is_killed(
    archive: list[Path], model: Model, tmp_path: Path, small_groups: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures, whole and broken, one that kills its worker once, one that does so always, and a video that is cut."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    files = [Path(shutil.copy(path, tmp_path)) for path in archive]
    files.append(Path(shutil.copy(files[-1], tmp_path / "x-once.jpg")))
    short = replace(model, segment_s=0.2)
    run_here(tmp_path / "here", short, files)
    files.append(Path(shutil.copy(files[0], tmp_path / "y-deadly.mp4")))
    workers = Cluster(short, "here", 2, make=Mortal)
    run_with(workers, tmp_path / "cluster", short, files)
    assert (tmp_path / "x-once.jpg.killed").exists()
    rows = pq.read_table(tmp_path / "cluster/index.parquet").to_pylist()
    assert [row["input"] for row in rows if "was killed" in row["error"]] == [str(tmp_path / "y-deadly.mp4")]
    here, there = content(tmp_path / "here/faces"), content(tmp_path / "cluster/faces")
    assert {name: data for name, data in there.items() if not name.startswith("y-deadly")} == here
    assert rows[:-1] == pq.read_table(tmp_path / "here/index.parquet").to_pylist()
    assert {path.name for path in (tmp_path / "cluster").iterdir()} == {"faces", "index.parquet", "options.json"}


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_a_cluster_that_cannot_be_reached_is_told(
    address: str, archive: list[Path], tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [archive[-1], "-o", tmp_path / "new", "--model", tiny_bundle, "--device", "cpu", f"--ray={address}"]
    assert run(parse_args(list(map(str, words)))) == 2
    assert f"no Ray cluster answers at {address}" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_there_is_no_cluster_to_join(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(EngineUnavailable, match="ray start --head"):
        Cluster(model, "auto")


@pytest.mark.parametrize("address", ["archive/", "host", "host:port", "http://host:80/x", ""])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InputError, match="no address"):
        check_address(address)
