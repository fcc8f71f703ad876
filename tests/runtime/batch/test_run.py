"""What a run leaves in its folder, and how it goes on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from batch_runs import Here, content, run_here

from mien.batch.folder import Folder
from mien.batch.inputs import local_input
from mien.batch.run import Run
from mien.batch.settings import Model
from mien.recognizer import Recognizer
from mien.sources.factory import open_source


def test_every_input_has_one_row_and_its_faces(archive: list[Path], model: Model, tmp_path: Path) -> None:
    run_here(tmp_path / "results", model, archive)
    index = {Path(row["input"]).name: row for row in pq.read_table(tmp_path / "results/index.parquet").to_pylist()}
    assert sorted(index) == [path.name for path in archive]
    for path in archive:
        row = index[path.name]
        assert row["state"] == ("failed" if path.name in ("cut.jpg", "none.mp4") else "done")
        assert row["size"] == path.stat().st_size
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        faces = pq.read_table(tmp_path / "results/faces" / row["part"])
        assert row["faces"] == faces["source"].to_pylist().count(str(path)) == sum(n for _, n in row["expressions"])
    assert "is cut off" in index["cut.jpg"]["error"]
    assert (index["clip.mp4"]["frames"], round(index["clip.mp4"]["seconds"], 2)) == (12, 0.48)
    assert len({row["part"] for row in index.values()}) == 3  # two videos, one group of pictures
    assert index["picture0.jpg"]["faces"] == 1
    assert index["clip.mp4"]["faces"] == 12


def test_faces_are_those_of_a_stream_and_of_predict(
    archive: list[Path], model: Model, tiny_bundle: Path, tmp_path: Path
) -> None:
    run_here(tmp_path / "results", model, archive)
    recognizer = Recognizer(str(tiny_bundle), device="cpu", threads=1)
    clip = next(path for path in archive if path.name == "clip.mp4")
    with recognizer.stream() as stream:
        expected = [
            (frame.index, face.track_id, face.expression.label, round(float(face.box[0]), 2))
            for frame, faces in stream.read(open_source(clip))
            for face in faces
        ]
    (part,) = (tmp_path / "results/faces").glob("clip-*")
    rows = pq.read_table(part).to_pylist()
    assert [(r["frame"], r["track"], r["expression"], round(r["x1"], 2)) for r in rows] == expected
    (group,) = (tmp_path / "results/faces").glob("pictures-*")
    for row in pq.read_table(group).to_pylist():
        (face,) = recognizer.predict(next(iter(open_source(row["source"]))).image)
        assert row["expression"] == face.expression.label
        assert row["confidence"] == pytest.approx(face.expression.confidence, abs=1e-6)
        assert row["track"] is None


def test_a_run_goes_on_and_does_nothing_twice(
    archive: list[Path], model: Model, tmp_path: Path, small_groups: None
) -> None:
    run_here(tmp_path / "whole", model, archive)
    folder = Folder(str(tmp_path / "parts"), model.told)
    task = Run(folder, model, [local_input(path) for path in archive])
    workers = Here(model)

    class Stopping(Exception):
        pass

    def stop(_: object) -> None:
        if len(workers.read) == 3:
            raise Stopping

    with pytest.raises(Stopping):
        task.work(workers, stop)
    folder.close()
    first = {item.name for piece in workers.read for item in piece.inputs}
    rest = run_here(tmp_path / "parts", model, archive)
    second = {item.name for piece in rest.read for item in piece.inputs}
    assert first
    assert second
    assert not first & second
    assert content(tmp_path / "parts") == content(tmp_path / "whole")
    assert not run_here(tmp_path / "parts", model, archive).read


@pytest.mark.parametrize("lost", ["index.parquet", "faces"])
def test_what_is_lost_is_made_again(lost: str, archive: list[Path], model: Model, tmp_path: Path) -> None:
    run_here(tmp_path / "results", model, archive)
    before = content(tmp_path / "results")
    if lost == "faces":
        next((tmp_path / "results/faces").glob("clip-*")).unlink()
    else:
        (tmp_path / "results/index.parquet").unlink()
    again = run_here(tmp_path / "results", model, archive)
    assert len(again.read) == (lost == "faces")
    assert content(tmp_path / "results") == before


def test_inputs_that_come_later_are_added(archive: list[Path], model: Model, tmp_path: Path) -> None:
    run_here(tmp_path / "results", model, archive[:4])
    before = content(tmp_path / "results/faces")
    run_here(tmp_path / "results", model, archive)
    after = content(tmp_path / "results/faces")
    assert {name: after[name] for name in before} == before
    assert pq.read_metadata(tmp_path / "results/index.parquet").num_rows == len(archive)
    rows = [row for part in (tmp_path / "results/faces").iterdir() for row in pq.read_table(part).to_pylist()]
    assert len({(row["source"], row["frame"], row["face"]) for row in rows}) == len(rows) == 6 + 12


def test_failures_are_read_again_where_asked_for(archive: list[Path], model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    files = [folder / name for name in ("a.jpg", "b.jpg", "clip.mp4")]
    for path, source in zip(files, ("picture0.jpg", "cut.jpg", "none.mp4"), strict=True):
        path.write_bytes((archive[0].parent / source).read_bytes())
    run_here(tmp_path / "results", model, files)
    files[1].write_bytes((archive[0].parent / "picture1.jpg").read_bytes())
    files[2].write_bytes((archive[0].parent / "clip.mp4").read_bytes())
    assert not run_here(tmp_path / "results", model, files).read
    index = (tmp_path / "results/index.parquet").read_bytes()
    again = run_here(tmp_path / "results", model, files, retry=True)
    assert sum(len(piece.inputs) for piece in again.read) == 2
    for stale in (False, True):  # a driver that was killed before it wrote the index leaves an old one
        if stale:
            (tmp_path / "results/index.parquet").write_bytes(index)
            assert not run_here(tmp_path / "results", model, files).read
        rows = pq.read_table(tmp_path / "results/index.parquet").to_pylist()
        assert [(row["state"], row["faces"]) for row in rows] == [("done", 1), ("done", 1), ("done", 12)]


def test_inputs_that_changed_are_told(archive: list[Path], model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(archive[-1].read_bytes())
    run_here(tmp_path / "results", model, [path])
    path.write_bytes(archive[-2].read_bytes())
    folder = Folder(str(tmp_path / "results"), model.told)
    task = Run(folder, model, [local_input(path)])
    folder.close()
    assert (task.changed, task.pieces) == ([str(path)], 0)
