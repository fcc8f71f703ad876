"""Faces for calibration and proof: from folders, parquet files, videos, and one portrait."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_data import face_jpeg, write_split

from mien.align import CropSpec
from mien.errors import InputError, SourceError
from mien_export.calibration_faces import read_faces

SPEC = CropSpec(48, "landmarks", 0.9)


def test_views_of_the_portrait_differ() -> None:
    made = read_faces((), SPEC)
    assert len(made) >= 50
    assert len({patch.tobytes() for patch in made.crops}) == len(made)
    assert (made.expression == -1).all()
    assert np.isnan(made.affect).all()


def test_a_folder_of_classes_has_labels(portrait: np.ndarray, tmp_path: Path) -> None:
    for name, count in (("happiness", 3), ("Anger", 2), ("holiday", 1)):
        (tmp_path / name).mkdir()
        for i in range(count):
            (tmp_path / name / f"{i}.jpg").write_bytes(face_jpeg(portrait, 1, i))
    (tmp_path / "happiness/broken.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "happiness/blank.png").write_bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    made = read_faces([str(tmp_path)], SPEC)
    assert sorted(made.expression.tolist()) == [-1, 1, 1, 1, 6, 6]
    assert made.crops.shape == (6, 48, 48, 3)


def test_folders_below_a_class_have_its_label(portrait: np.ndarray, tmp_path: Path) -> None:
    for i, place in enumerate(("happiness/p1", "happiness/p2/anger", "test/Anger", "holiday/p1")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.jpg").write_bytes(face_jpeg(portrait, 1, i))
    assert sorted(read_faces([str(tmp_path)], SPEC).expression.tolist()) == [-1, 1, 1, 6]
    assert read_faces([str(tmp_path / "happiness/p1")], SPEC).expression.tolist() == [-1]
    assert read_faces([str(tmp_path / "test/Anger")], SPEC).expression.tolist() == [6]


def test_parquet_rows_keep_their_labels_and_may_be_fewer(portrait: np.ndarray, tmp_path: Path) -> None:
    write_split(tmp_path / "set", "test", portrait, list(range(8)) * 2, 0, "affect")
    pattern = str(tmp_path / "set/test-*.parquet")
    whole = read_faces([pattern], SPEC, 0)
    assert len(whole) > 12
    assert not np.isnan(whole.affect).any()
    some = read_faces([pattern], SPEC, 6)
    assert 0 < len(some) <= 6
    assert len(set(some.expression.tolist())) > 2  # spread over the file, not its first rows
    assert len(read_faces([pattern, pattern], SPEC, 6)) <= 6


def test_compounds_are_labels_where_the_model_knows_them(portrait: np.ndarray, tmp_path: Path) -> None:
    labels = ("neutral", "fear", "sadly angry")
    rows = [(0, "neutral"), (4, "fear"), (-1, "sadly angry"), (-1, "fear"), (-1, "awed"), (1, None)]
    table = [
        {"image": {"bytes": face_jpeg(portrait, 1, i), "path": None}, "expression": number, "category": name}
        for i, (number, name) in enumerate(rows)
    ]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "a.parquet")
    source = [str(tmp_path / "a.parquet")]
    # What somebody meant to show ("fear") is no label where nobody saw it.
    assert read_faces(source, SPEC, 0, labels=labels).expression.tolist() == [0, 1, 2, -1, -1, -1]
    assert read_faces(source, SPEC, 0, labels=labels, clear=True).expression.tolist() == [0, 1, 2]
    assert read_faces(source, SPEC, 0).expression.tolist() == [0, 4, -1, -1, -1, 1]


def test_a_video_gives_frames_from_start_to_end(portrait: np.ndarray, tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (512, 512))
    for i in range(20):
        writer.write(np.roll(portrait, i * 4, axis=1))
    writer.release()
    assert len(read_faces([str(tmp_path / "a.avi")], SPEC, 5)) == 5


def test_what_holds_no_face_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no face found in {tmp_path}"):
        read_faces([str(tmp_path)], SPEC)
    with pytest.raises(SourceError):
        read_faces([str(tmp_path / "none")], SPEC)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot read"):
        read_faces([str(tmp_path / "a.parquet")], SPEC)
