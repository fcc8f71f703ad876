from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_disk import tiny_disk
from tiny_frame import frame

from mien.errors import OutputError
from mien.sinks.paths import check_output
from mien.sinks.records import Csv, JsonLines, record
from mien.sources.base import Source
from mien.types import Face

MakeFace = Callable[..., Face]

LABELS = ("neutral", "happiness")


def test_json_lines_hold_everything_and_come_at_once(tmp_path: Path, make_face: MakeFace) -> None:
    path = tmp_path / "faces.jsonl"
    sink = JsonLines(str(path))
    sink.write(frame(0), [])
    sink.write(frame(7), [make_face((1, 2, 31, 42)), make_face((5, 5, 9, 9), landmarks=False)])
    first, second = (json.loads(line) for line in path.read_text().splitlines())  # before it is closed
    sink.close()
    assert first["source"] == "a.mp4"
    assert (first["frame"], first["time"], first["face"], second["face"]) == (7, 0.28, 0, 1)
    assert first["box"] == [1, 2, 31, 42]
    assert np.shape(first["landmarks"]) == (5, 2)
    assert second["landmarks"] is None
    assert (first["expression"], first["confidence"], first["score"]) == ("happiness", 0.75, 0.93)
    assert first["probabilities"] == {"happiness": 0.75, "neutral": 0.25}
    assert (first["valence"], first["arousal"]) == (0.5, -0.25)


def test_csv_has_a_column_for_every_class(tmp_path: Path, make_face: MakeFace) -> None:
    path = tmp_path / "faces.csv"
    sink = Csv(str(path), LABELS)
    assert path.read_text().startswith("source,frame,time,face,track,x1,")  # a header even where no face comes
    sink.write(frame(3, name='odd, "name".mp4'), [make_face((1, 2, 31, 42)), make_face((5, 5, 9, 9), landmarks=False)])
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    sink.close()
    assert first["source"] == 'odd, "name".mp4'
    assert (first["x1"], first["y2"], first["p_neutral"], first["p_happiness"]) == ("1.0", "42.0", "0.25", "0.75")
    assert (float(first["nose_x"]), second["nose_x"]) == (16.0, "")
    assert None not in first


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_an_output_error(make_face: MakeFace) -> None:
    with pytest.raises(OutputError, match="/dev/full"):
        JsonLines("/dev/full").write(frame(), [make_face((1, 2, 31, 42))])


def test_outputs_that_cannot_work_are_told_before_anything_is_written(tmp_path: Path, picture: Source) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link.png").symlink_to(tmp_path / "portrait.png")
    for path, message in [
        ("missing/out.jsonl", "mkdir -p"),
        ("file/out.jsonl", "is a file, not a folder"),
        ("", "is a folder"),
        ("portrait.png", "would be overwritten"),
        ("link.png", "would be overwritten"),
    ]:
        with pytest.raises(OutputError, match=message):
            check_output(str(tmp_path / path), picture)
    check_output(str(tmp_path / "fine.jsonl"), picture)
    check_output("-", picture)
    assert not (tmp_path / "fine.jsonl").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(tmp_path: Path, picture: Source) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission"):
        check_output(str(tmp_path / "locked" / "out.jsonl"), picture)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_disk_that_fills_leaves_whole_records(tmp_path: Path, make_face: MakeFace, kind: str) -> None:
    path = tmp_path / "faces"
    sink = JsonLines(str(path)) if kind == "jsonl" else Csv(str(path), LABELS)
    faces = [make_face((1, 2, 31, 42))] * 3
    sink.write(frame(0), faces)
    with tiny_disk(path.stat().st_size + 10), pytest.raises(OutputError, match=r"cannot write .*free some space"):
        sink.write(frame(1), faces)
    sink.write(frame(2), faces)  # there is room again
    sink.close()
    text = path.read_text()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 6 + (kind == "csv")


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_frame_is_one_write_even_where_the_system_takes_it_in_parts(
    tmp_path: Path, make_face: MakeFace, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    sink = JsonLines(str(tmp_path / "a")) if kind == "jsonl" else Csv(str(tmp_path / "a"), LABELS)
    real, calls = os.write, []

    def whole(file: int, data: bytes) -> int:
        calls.append(len(data))
        return real(file, data)

    monkeypatch.setattr(os, "write", whole)
    sink.write(frame(0), [make_face((1, 2, 31, 42))] * 2)
    sink.write(frame(1), [])
    assert len(calls) == 1
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data[:7])))
    sink.write(frame(2), [make_face((1, 2, 31, 42))])
    monkeypatch.undo()
    sink.close()
    lines = (tmp_path / "a").read_text().splitlines()[kind == "csv" :]
    assert [len(line.split(",")) for line in lines] == [len(lines[0].split(","))] * 3


def test_a_killed_writer_leaves_whole_lines(tmp_path: Path) -> None:
    code = """
import os, signal, sys, numpy as np
from mien.types import Affect, Expression, Face, Frame
from mien.sinks.records import Csv, JsonLines
lines, rows = JsonLines(sys.argv[1] + "/a.jsonl"), Csv(sys.argv[1] + "/a.csv", ["x"])
face = Face(np.zeros(4, np.float32), None, 1.0, Expression("x", 1.0, {"x": 1.0}), Affect(0, 0), np.zeros(1, np.float32))
for i in range(50):
    for sink in (lines, rows):
        sink.write(Frame(np.zeros((1, 1, 3), np.uint8), i / 25, i, "a"), [face])
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert [json.loads(line)["frame"] for line in (tmp_path / "a.jsonl").read_text().splitlines()] == list(range(50))
    rows = list(csv.DictReader((tmp_path / "a.csv").open(newline="")))
    assert [row["frame"] for row in rows] == [str(i) for i in range(50)]
    assert rows[-1]["arousal"] == "0"


def test_stdout_takes_lines_in_turn_with_print(make_face: MakeFace) -> None:
    code = """
import numpy as np
from mien.types import Affect, Expression, Face, Frame
from mien.sinks.records import JsonLines
sink = JsonLines("-")
face = Face(np.zeros(4, np.float32), None, 1.0, Expression("x", 1.0, {"x": 1.0}), Affect(0, 0), np.zeros(1, np.float32))
print("before", end="|")
sink.write(Frame(np.zeros((1, 1, 3), np.uint8), 0.0, 0, "caf\\udce9.mp4"), [face])
sink.close()
print("after")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, last = result.stdout.splitlines()
    assert (first[:7], last) == ("before|", "after")
    assert json.loads(first[7:])["source"] == "caf\udce9.mp4"


def test_stdout_without_a_file_works_too(make_face: MakeFace, capsys: pytest.CaptureFixture[str]) -> None:
    JsonLines("-").write(frame(), [make_face((1, 2, 31, 42))])
    assert json.loads(capsys.readouterr().out)["frame"] == 0


def test_names_that_are_no_text_come_back_from_csv(tmp_path: Path, make_face: MakeFace) -> None:
    sink = Csv(str(tmp_path / "a.csv"), LABELS)
    sink.write(frame(name="caf\udce9.mp4"), [make_face((1, 2, 31, 42))])
    sink.close()
    sink.close()
    assert b"\ncaf\xe9.mp4,0," in (tmp_path / "a.csv").read_bytes()


def test_a_track_and_an_uncertain_label_are_recorded(tmp_path: Path, make_face: MakeFace) -> None:
    face = make_face((1, 2, 31, 42))
    face = replace(face, track_id=7, expression=replace(face.expression, label="uncertain"))
    assert (record(frame(), 0, face)["track"], record(frame(), 0, face)["expression"]) == (7, "uncertain")
    sink = Csv(str(tmp_path / "a.csv"), LABELS)
    sink.write(frame(), [face])
    sink.close()
    (row,) = csv.DictReader((tmp_path / "a.csv").open(newline=""))
    assert (row["track"], row["expression"], row["p_happiness"]) == ("7", "uncertain", "0.75")
