"""Archives in a store: an S3 server on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from batch_runs import Here, run_here
from s3_store import s3_server

from mien.batch.folder import Folder
from mien.batch.listing import find_inputs
from mien.batch.processes import Processes
from mien.batch.run import Run
from mien.batch.settings import Model
from mien.errors import LibraryBroken, SourceError


@pytest.fixture(scope="module")
def bucket(archive: list[Path]) -> Iterator[str]:
    """The address of a bucket with the archive, in ``date=2026-01-01/`` and ``more/``."""
    items = {f"{'more' if path.suffix == '.mp4' else 'date=2026-01-01'}/{path.name}": path for path in archive}
    with s3_server({"archive": {**items, "notes.doc": b"text"}}):
        yield "s3://archive"


def faces(results: Path) -> list[dict[str, object]]:
    rows = [row for part in (results / "faces").iterdir() for row in pq.read_table(part).to_pylist()]
    rows = [{**row, "source": Path(row["source"]).name} for row in rows]
    return sorted(rows, key=lambda row: (row["source"], row["frame"], row["face"]))


def test_a_bucket_gives_the_faces_of_a_folder(
    bucket: str, archive: list[Path], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "temporary").mkdir()
    run_here(tmp_path / "local", model, archive)
    inputs = find_inputs([bucket], tmp_path / "store")
    assert sorted(Path(item.name).name for item in inputs) == [path.name for path in archive]
    folder, workers = Folder(str(tmp_path / "store"), model.told), Processes(model, 1)
    try:
        Run(folder, model, inputs).work(workers)
    finally:
        workers.close()
        folder.close()
    assert faces(tmp_path / "store") == faces(tmp_path / "local")
    rows = {Path(row["input"]).name: row for row in pq.read_table(tmp_path / "store/index.parquet").to_pylist()}
    for path, row in zip(archive, pq.read_table(tmp_path / "local/index.parquet").to_pylist(), strict=True):
        there = rows[path.name]
        assert there["input"].startswith("s3://archive/")
        for key in ("state", "size", "sha256", "frames", "faces", "seconds", "warnings"):
            assert there[key] == row[key], key
        assert there["version"]
        assert (there["input"] in there["error"]) == (row["state"] == "failed")
        assert "temporary" not in there["error"]
    assert not list((tmp_path / "temporary").iterdir())
    again = find_inputs([bucket], tmp_path / "store")
    folder = Folder(str(tmp_path / "store"), model.told)
    task = Run(folder, model, again)
    folder.close()
    assert (task.pieces, task.changed) == (0, [])


def test_globs_files_and_lists(bucket: str, tmp_path: Path, model: Model) -> None:
    assert len(find_inputs([f"{bucket}/date=*/picture*.jpg"], tmp_path)) == 6
    one = f"{bucket}/more/clip.mp4"
    assert [item.name for item in find_inputs([one], tmp_path)] == [one]
    (tmp_path / "list.txt").write_text(f"{one}\n{bucket}/gone.jpg\n")
    inputs = find_inputs([str(tmp_path / "list.txt")], tmp_path / "results")
    assert [item.name for item in inputs] == [one, f"{bucket}/gone.jpg"]
    folder = Folder(str(tmp_path / "results"), model.told)
    Run(folder, model, inputs).work(Here(model))
    folder.close()
    assert {name: row.state for name, row in folder.rows.items()} == {one: "done", f"{bucket}/gone.jpg": "failed"}
    assert "there is nothing at" in folder.rows[f"{bucket}/gone.jpg"].error


def test_what_is_wrong_with_a_store_is_told(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address, error, words in (
        (f"{bucket}/gone/", SourceError, "there is nothing at"),
        ("s3://other/a.jpg", SourceError, "there is nothing at"),
        (f"{bucket}/*.doc", SourceError, "holds no pictures and no videos"),
        ("foo://bucket/a.jpg", SourceError, "foo:// is not known"),
    ):
        with pytest.raises(error, match=words):
            find_inputs([address], tmp_path)
    import fsspec

    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(LibraryBroken, match="pip install s3fs"):
        find_inputs([bucket], tmp_path)


@pytest.mark.parametrize("gone", ["login", "server"])
def test_a_store_without_login_or_server_is_told_before_work_begins(
    gone: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    if gone == "login":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("HOME", str(tmp_path))
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (tmp_path / "list.txt").write_text(f"{bucket}/more/clip.mp4\n")
    try:
        for source in (bucket, str(tmp_path / "list.txt")):
            with pytest.raises(SourceError, match="login is missing" if gone == "login" else "cannot be reached"):
                find_inputs([source], tmp_path / "results")
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
