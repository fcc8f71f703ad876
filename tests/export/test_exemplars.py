"""``fer-export --exemplars``: faces with clear expressions, as numbers in the bundle."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.bundle import find_bundle
from mien.enrollment.reference_faces import EXEMPLARS, pack_exemplars, read_exemplars
from mien.errors import InputError
from mien.sources.demo import demo_picture
from mien.types import Image
from mien_export.calibration_faces import is_blend
from mien_export.cli import parse_args, run


def shard(path: Path, portrait: Image, count: int, votes: list[list[int] | None]) -> Path:
    face = cv2.resize(portrait[40:200, 140:300], (64, 64), interpolation=cv2.INTER_AREA)
    rows = []
    for i in range(count):
        light = cv2.convertScaleAbs(face, alpha=0.7 + 0.3 * i / count)
        data = cv2.imencode(".png", light)[1].tobytes()
        rows.append({"image": {"bytes": data, "path": None}, "expression": i % 8, "votes": votes[i % len(votes)]})
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize(
    ("votes", "blend"),
    [
        ([0, 0, 0, 6, 4, 0, 0, 0, 0, 0], True), ([5, 3, 1, 1, 0, 0, 0, 0, 0, 0], True), (None, False),
        ([0, 8, 2, 0, 0, 0, 0, 0, 0, 0], False), ([4, 3, 3, 0, 0, 0, 0, 0, 0, 0], False),
        ([0, 5, 0, 0, 0, 0, 0, 0, 5, 0], False),
        # About a hundred votes for a face, as in Taiwan's set; and fewer than ten.
        ([0, 45, 0, 5, 0, 0, 0, 0, 0, 0], False), ([0, 50, 0, 30, 0, 0, 20, 0, 0, 0], True),
        ([0, 50, 0, 29, 0, 0, 21, 0, 0, 0], False), ([35, 21, 14, 0, 0, 0, 0, 0, 0, 0], True),
        ([0, 3, 0, 3, 0, 0, 0, 0, 0, 0], False),
    ],
)  # fmt: skip
def test_a_blend_is_what_the_readme_of_the_data_says(votes: list[int] | None, blend: bool) -> None:
    assert is_blend(votes) is blend


def test_exemplars_are_kept_by_source_without_blends(tiny_bundle: Path, tmp_path: Path) -> None:
    portrait = np.asarray(cv2.imread(str(demo_picture())), np.uint8)
    clear, split = [0, 9, 1, 0, 0, 0, 0, 0, 0, 0], [0, 6, 4, 0, 0, 0, 0, 0, 0, 0]
    first = shard(tmp_path / "a.parquet", portrait, 240, [clear, split])
    second = shard(tmp_path / "b.parquet", portrait, 120, [None])
    out = tmp_path / "out"
    assert run(parse_args([str(tiny_bundle), "-o", str(out), "--exemplars", str(first), str(second)])) == 0
    held = read_exemplars(find_bundle(out))
    assert np.bincount(held.source).tolist() == [120, 120]
    assert set(held.label[held.source == 0].tolist()) == {0, 2, 4, 6}, "every other row is a blend"
    assert "b.parquet" in held.origin
    assert held.probabilities.sum(1) == pytest.approx(np.ones(240), abs=0.01)
    few = parse_args([str(tiny_bundle), "-o", str(tmp_path / "no"), "--exemplars", "x"])
    few.exemplars = [str(shard(tmp_path / "c.parquet", portrait, 20, [None]))]
    with pytest.raises(InputError, match="exemplars; give sources of at least 100 each"):
        run(few)
    assert not (tmp_path / "no").exists()
    again = tmp_path / "again"
    assert run(parse_args([str(out), "-o", str(again)])) == 0
    assert (again / EXEMPLARS).read_bytes() == (out / EXEMPLARS).read_bytes(), "kept when a bundle is made anew"


def test_packing_keeps_what_tells_faces_apart() -> None:
    random = np.random.default_rng(0)
    embedding = (random.normal(0, 1, (300, 100)) @ random.normal(0, 1, (100, 100))).astype(np.float32)
    data = pack_exemplars(np.arange(300) % 8, np.zeros(300, int), np.full((300, 8), 0.125, np.float32), embedding, "x")
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        places = stored["places"] * 0.05
        exact = (embedding - stored["mean"]) @ stored["axes"]
    assert places.shape == (300, 64)
    assert places.std(0) == pytest.approx(np.ones(64), abs=0.02)
    assert np.abs(places - exact).max() < 0.026


def test_the_packaged_model_brings_exemplars_of_wild_and_posed_faces() -> None:
    bundle = find_bundle("default")
    held = read_exemplars(bundle)
    assert len(np.bincount(held.source)) == 3
    assert np.bincount(held.source).min() > 400  # CFEE's
    assert np.bincount(held.label, minlength=8).min() > 100
    assert (held.probabilities.argmax(1) == held.label).mean() > 0.75
    assert (bundle.folder / EXEMPLARS).stat().st_size < 700_000
