from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from tiny_disk import tiny_disk
from tiny_frame import frame

from mien.errors import LibraryBroken, OutputError
from mien.sinks import parquet
from mien.sinks.parquet import Parquet, check_parquet, face_schema
from mien.sinks.paths import Inputs
from mien.sinks.records import Csv
from mien.types import Face

MakeFace = Callable[..., Face]
LABELS = ("neutral", "happiness")
NOTHING_READ = Inputs([])
KILLED = """
import os, signal, sys, numpy as np
from mien.sinks import parquet
from mien.types import Affect, Expression, Face, Frame
parquet.PART_S = 0.0
parquet._Parts.patience_s = 0.0
parquet.ROWS = 10
sink = parquet.Parquet(sys.argv[1], ["x"])
face = Face(np.zeros(4, np.float32), None, 1.0, Expression("x", 1.0, {"x": 1.0}), Affect(0, 0), np.zeros(1, np.float32))
for i in range(55):
    sink.write(Frame(np.zeros((1, 1, 3), np.uint8), i / 25, i, "a"), [face])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_table_holds_what_csv_holds_in_types(tmp_path: Path, make_face: MakeFace) -> None:
    faces = [replace(make_face((1.234, 2, 31, 42)), track_id=7), make_face((5, 5, 9, 9), landmarks=False)]
    faces[1] = replace(faces[1], affect=None)
    sinks = Csv(str(tmp_path / "a.csv"), LABELS), Parquet(str(tmp_path / "a.parquet"), LABELS)
    for sink in sinks:
        sink.write(frame(0), [])
        sink.write(frame(3, name='odd, "name".mp4'), faces)
        sink.close()
        sink.close()
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.equals(face_schema(LABELS))
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert table.column_names == list(rows[0])
    for row, typed in zip(rows, table.to_pylist(), strict=True):
        for name, value in row.items():
            if value == "":
                assert typed[name] is None
            elif isinstance(typed[name], str):
                assert typed[name] == value
            else:
                assert typed[name] == pytest.approx(float(value), rel=1e-6)
    assert table.column("track").to_pylist() == [7, None]
    assert table.schema.field("time").type == pa.float64()
    assert table.schema.field("p_happiness").type == pa.float32()
    assert not table.schema.field("expression").nullable


def test_the_file_is_there_only_when_it_is_complete(tmp_path: Path, make_face: MakeFace) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("of an earlier run")
    sink = Parquet(str(path), LABELS)
    sink.write(frame(), [make_face((1, 2, 31, 42))])
    assert path.read_text() == "of an earlier run"
    sink.close()
    assert pq.read_table(path).num_rows == 1
    assert [item.name for item in tmp_path.iterdir()] == ["a.parquet"]


def test_a_run_without_faces_gives_the_columns(tmp_path: Path) -> None:
    for name in ("a.parquet", "parts/"):
        sink = Parquet(f"{tmp_path}/{name}", LABELS)
        sink.write(frame(), [])
        sink.close()
        assert pq.read_table(tmp_path / name).schema.equals(face_schema(LABELS))


def test_rows_leave_memory_in_groups(tmp_path: Path, make_face: MakeFace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS", 10)
    sink = Parquet(str(tmp_path / "a.parquet"), LABELS)
    for i in range(25):
        sink.write(frame(i), [make_face((1, 2, 31, 42))])
        assert len(sink._rows) < 10
    sink.close()
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [10, 10, 5]
    assert file.read().column("frame").to_pylist() == list(range(25))


def test_a_folder_grows_while_faces_come_and_keeps_other_runs(
    tmp_path: Path, make_face: MakeFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    folder = tmp_path / "faces"
    for run in range(2):
        sink = Parquet(f"{folder}/", LABELS)
        sink.write(frame(0), [make_face((1, 2, 31, 42))])
        assert len(list(folder.glob("*.parquet"))) == 2 * run
        now[0] += parquet.PART_S
        sink.write(frame(1), [])
        assert ds.dataset(folder).count_rows() == 3 * run + 1
        sink.write(frame(2), [make_face((1, 2, 31, 42))] * 2)
        sink.close()
        assert ds.dataset(folder).count_rows() == 3 * run + 3


def test_a_killed_run_leaves_whole_files_or_the_earlier_one(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.parquet", tmp_path / "parts"
    path.write_text("of an earlier run")
    for target in (str(path), f"{folder}/"):
        subprocess.run([sys.executable, "-c", KILLED, target], check=False)
    assert path.read_text() == "of an earlier run"
    assert ds.dataset(folder).to_table().sort_by("frame").column("frame").to_pylist() == list(range(55))


def test_a_full_disk_is_an_output_error_and_leaves_no_half_file(
    tmp_path: Path, make_face: MakeFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROWS", 10)
    path = tmp_path / "a.parquet"
    path.write_text("of an earlier run")
    for name in ("a.parquet", "parts/"):
        sink = Parquet(f"{tmp_path}/{name}", LABELS)
        sink.write(frame(0), [make_face((1, 2, 31, 42))] * 10)
        with tiny_disk(100), pytest.raises(OutputError, match=r"cannot write .*free some space"):
            sink.write(frame(1), [make_face((1, 2, 31, 42))] * 10)
        sink.close()
    assert path.read_text() == "of an earlier run"
    assert ds.dataset(tmp_path / "parts").count_rows() == 10
    assert not list(tmp_path.rglob(".*"))


def test_the_end_of_a_full_disk_leaves_the_earlier_file(tmp_path: Path, make_face: MakeFace) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("of an earlier run")
    sink = Parquet(str(path), LABELS)
    sink.write(frame(0), [make_face((1, 2, 31, 42))])
    with tiny_disk(100), pytest.raises(OutputError, match="free some space"):
        sink.close()
    assert path.read_text() == "of an earlier run"
    assert [item.name for item in tmp_path.iterdir()] == ["a.parquet"]


def test_names_that_are_no_text_are_escaped(tmp_path: Path, make_face: MakeFace) -> None:
    sink = Parquet(str(tmp_path / "a.parquet"), LABELS)
    sink.write(frame(name="caf\udce9.mp4"), [make_face((1, 2, 31, 42))])
    sink.close()
    assert pq.read_table(tmp_path / "a.parquet").column("source").to_pylist() == ["caf\\xe9.mp4"]


def test_what_cannot_work_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    for path, message in (
        ("-", "standard output"),
        ("/dev/null", "not a regular file"),
        (f"{tmp_path}/none/a.parquet", "mkdir -p"),
        (f"{tmp_path}/file/", "is a file, not a folder"),
    ):
        with pytest.raises(OutputError, match=message):
            check_parquet(path, NOTHING_READ)
    with pytest.raises(OutputError, match="would be overwritten"):
        check_parquet(f"{tmp_path}/", Inputs([tmp_path / "file"]))
    check_parquet(str(tmp_path / "a.parquet"), NOTHING_READ)
    check_parquet(f"{tmp_path}/parts/", NOTHING_READ)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(LibraryBroken, match=r'pip install "mien\[parquet\]"'):
        check_parquet(str(tmp_path / "a.parquet"), NOTHING_READ)
