"""What fer-run makes of the demo, a video, a folder of pictures and a picture without a face."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from mien.sources.factory import open_source
from mien.types import Image

MakeClip = Callable[..., Path]
Run = Callable[..., int]


def test_demo(
    fer_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fer_run("--demo") == 0
    out = capsys.readouterr().out
    assert "512x512  1 face" in out
    assert str(tmp_path / "demo.jpg") in out
    assert "/cpu fp32" in out
    drawn = cv2.imread(str(tmp_path / "demo.jpg"))
    assert drawn is not None
    assert drawn.shape == (512, 512, 3)


def test_a_video_with_everything(
    fer_run: Run, tmp_path: Path, make_clip: MakeClip, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    assert (
        fer_run(
            "--source",
            clip,
            "--save",
            tmp_path / "out.mp4",
            "--csv",
            tmp_path / "out.csv",
            "--parquet",
            tmp_path / "out.parquet",
            "--json",
            "-",
            "--max-frames",
            8,
        )
        == 0
    )
    captured = capsys.readouterr()
    records = [json.loads(line) for line in captured.out.splitlines()]
    assert [record["frame"] for record in records] == list(range(8))
    assert [record["time"] for record in records] == pytest.approx([i / 25 for i in range(8)])
    assert all(sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-4) for record in records)
    assert "8 frames, 8 faces" in captured.err
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["expression"] for row in rows] == [record["expression"] for record in records]
    table = pq.read_table(tmp_path / "out.parquet")
    assert (table.column_names, table.num_rows) == (list(rows[0]), 8)
    assert str(tmp_path / "out.parquet") in captured.err
    with open_source(tmp_path / "out.mp4") as source:
        assert (source.fps, source.size, len(list(source))) == (25.0, (320, 180), 8)


def test_a_folder_goes_on_after_bad_pictures(
    fer_run: Run, tmp_path: Path, portrait: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    data = cv2.imencode(".jpg", portrait)[1].tobytes()
    (folder / "1.jpg").write_bytes(data[:9000])
    (folder / "2.jpg").write_bytes(data)
    (folder / "3.jpg").write_text("hello")
    assert fer_run("--source", folder) == 0
    captured = capsys.readouterr()
    assert "2.jpg  512x512  1 face" in captured.out
    assert captured.err.count("fer-run: warning: skipped:") == 2
    assert fer_run("--source", folder, "--save", tmp_path / "out", "--quiet") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["2.jpg"]
    assert capsys.readouterr().out == ""
    (folder / "2.jpg").unlink()
    assert fer_run("--source", folder) == 2


def test_a_face_free_picture_is_fine(fer_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shape in ((1, 1), (60, 12000)):
        cv2.imwrite(str(tmp_path / "a.png"), np.zeros(shape, dtype=np.uint8))
        assert fer_run("--source", tmp_path / "a.png", "--save", tmp_path / "b.png") == 0
        assert "0 faces" in capsys.readouterr().out
