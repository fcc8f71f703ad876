"""Accuracy by crops and by whole frames, and a plot that keeps what was measured apart from what was published."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_data import write_split

from benchmarks.accuracy import held_out, held_out_plot
from mien.errors import InputError
from mien.types import Image
from mien.vision.detector import load_detector


class Sure:
    """An engine that says one class of every crop."""

    name = "sure"

    def run(self, batch: Image) -> dict[str, Any]:
        return {"expression": np.tile(np.eye(8, dtype=np.float32)[3] * 0.9 + 0.0125, (len(batch), 1))}


def test_a_face_not_found_is_wrong_whatever_its_label() -> None:
    labels = np.array([3, 3, 0, 4])
    cut = held_out.Cut(np.zeros((4, 8, 8, 3), np.uint8), np.array([True, False, False, True]))
    made = held_out.probabilities(Sure(), cut, labels)
    assert (made.argmax(1) == labels).tolist() == [True, False, False, False]
    assert made[0].sum() == pytest.approx(1)
    assert made[:, [1, 2, 5, 6, 7]].max() == 0  # classes that the set lacks


def test_frames_are_searched_and_crops_are_not(tmp_path: Path, portrait: Image) -> None:
    from mien.align import CropSpec
    from mien_train.data.sets import load_with_landmarks

    write_split(tmp_path / "rafdb", "test", portrait, [0, 1, 2], seed=0)
    item = load_with_landmarks("rafdb/test", tmp_path)
    assert len(held_out.some(item, 2).faces) == 2
    specs = {CropSpec(32), CropSpec(48, "landmarks", 0.9)}
    made = held_out.cut_all(item, specs, load_detector())
    assert made["crops"][CropSpec(32)].crops.shape == (3, 32, 32, 3)
    assert made["crops"][CropSpec(32)].found.all()
    seen = made["frames"][CropSpec(32)]
    assert seen.found.any()
    assert (seen.crops.reshape(3, -1).max(1) > 0).tolist() == seen.found.tolist()
    blind = held_out.cut_all(item, specs, load_detector(min_score=0.999))
    assert not blind["frames"][CropSpec(32)].found.any()
    assert blind["crops"][CropSpec(32)].found.all()


def test_every_set_and_engine_has_a_row(
    tmp_path: Path, portrait: Image, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in held_out.SETS:
        write_split(tmp_path / Path(name).parent, Path(name).name, portrait, [0, 1, 2, 3], seed=0)
    out = tmp_path / "made.json"
    monkeypatch.setattr(sys, "argv", ["held_out", str(tiny_bundle), "--data", str(tmp_path), "--out", str(out)])
    held_out.main()
    rows = json.loads(out.read_text())["rows"]
    assert {(row["set"], row["way"]) for row in rows} == {(s, w) for s in held_out.SETS for w in ("crops", "frames")}
    assert {row["precision"] for row in rows} == {"fp32"}
    assert "onnxruntime/cpu" in {row["engine"] for row in rows}
    assert all(row["intervals"]["accuracy"][0] <= row["accuracy"] <= row["intervals"]["accuracy"][1] for row in rows)
    assert out.with_suffix(".png").stat().st_size > 10_000


def test_published_figures_name_their_source_and_stand_with_their_own_test_set() -> None:
    figures = held_out_plot.published()
    assert {figure["set"] for figure in figures} == {"AffectNet-8", "FER+", "RAF-DB"}
    assert all(figure["source"] and figure["protocol"] and figure["checked"] for figure in figures)


def test_a_figure_without_its_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "published.toml"
    path.write_text('[[figure]]\nname = "x"\nset = "FER+"\naccuracy = 99\nprotocol = "?"\ngmac = 1\nchecked = "no"\n')
    with pytest.raises(InputError, match="source"):
        held_out_plot.published(path)


def test_latencies_are_taken_from_one_thread_one_picture_in_fp32(tmp_path: Path) -> None:
    assert held_out_plot.known_latency(tmp_path) == {}
    row = {"network": "a", "engine": "ONNX Runtime", "precision": "fp32", "threads": 1, "batch": 1, "over_ours": 2}
    others = [
        row | {"threads": 2, "over_ours": 3},
        row | {"precision": "int8", "over_ours": 4},
        row | {"network": "b", "over_ours": None},
    ]
    (tmp_path / "latency.json").write_text(json.dumps({"rows": [*others, row]}))
    assert held_out_plot.known_latency(tmp_path) == {"a": 2.0}
    made = [{"bundle": name, "time, 1 threads, over the first": time} for name, time in (("a", 1.0), ("c", 0.3))]
    (tmp_path / "sizes_xs.json").write_text(json.dumps({"bundles": made}))
    assert held_out_plot.known_latency(tmp_path) == {"a": 2.0}, "measured over another student"
    (tmp_path / "latency.json").write_text(json.dumps({"rows": [row | {"over_ours": 1}]}))
    assert held_out_plot.known_latency(tmp_path) == {"a": 1, "c": 0.3}
