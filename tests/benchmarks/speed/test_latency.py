"""Turns, peaks, profiles and bars: the arithmetic of the latency comparison, on small networks."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks.speed import latency, latency_report, layers, peer_files, peers, roofline
from mien.bundle import find_bundle
from mien.engines import load_engine

MINI = peers.PEERS[-1]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("peers")
    return {precision: peer_files.peer_file(MINI, precision, folder) for precision in ("fp32", "int8")}


def test_turns_share_the_time_between_quick_and_slow_work() -> None:
    calls: list[str] = []

    def work(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    works = {"quick": partial(work, "quick", 0.001), "slow": partial(work, "slow", 0.05)}
    taken = roofline.timed(works, 0.25)
    assert 0.001 <= taken["quick"].tenth <= taken["quick"].median < 0.02
    assert 0.05 <= taken["slow"].median < 0.1
    assert taken["slow"].calls >= 3
    changes = sum(a != b for a, b in pairwise(calls))
    assert changes >= 6  # in turn, not one after the other


def test_bandwidth_is_of_this_world() -> None:
    for threads in (1, 2):
        found = roofline.bandwidths(threads, seconds=0.1)
        assert list(found) == list(roofline.BYTES)
        assert all(0.1 < value < 5000 for value in found.values())  # GB/s


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_product_is_a_matrix_product(precision, tmp_path) -> None:
    path = tmp_path / "product.onnx"
    onnx.save(roofline.product(64, precision), path)
    given = roofline.left_matrix(64, precision)
    if precision == "int8":
        given //= 2  # pairs of larger products saturate on processors without VNNI
    constant = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    made = load_engine(path, device="cpu", threads=1).run(given)["y"]
    exact = given.astype(np.float64) @ constant.astype(np.float64)
    assert np.abs(made - exact).max() <= 1e-3


def test_peer_files_take_any_batch_and_are_kept(files) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in files.values()}
    again = {precision: peer_files.peer_file(MINI, precision, files[precision].parent) for precision in files}
    assert again == files
    assert {path: path.stat().st_mtime_ns for path in again.values()} == stamps
    assert sorted(path.name for path in files["fp32"].parent.iterdir()) == sorted(path.name for path in files.values())
    for path in files.values():
        for batch in (1, 8):
            (out,) = load_engine(path, device="cpu", threads=1).run(MINI.example(batch).numpy()).values()
            assert out.shape == (batch, 7)
            assert np.isfinite(out).all()
    kinds = {node.op_type for node in onnx.load(files["int8"]).graph.node}
    assert "QuantizeLinear" in kinds
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(files["fp32"]).graph.node}


def test_exported_peer_computes_what_torch_computes(files) -> None:
    given = MINI.example(2)
    (out,) = load_engine(files["fp32"], device="cpu", threads=1).run(given.numpy()).values()
    assert np.abs(out - peers.settled(MINI)(given).detach().numpy()).max() < 1e-4


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_profile_counts_what_the_card_counts(precision) -> None:
    bundle = find_bundle("default")
    size = bundle.card.crop.size
    made = layers.profile(bundle.model_file(precision), np.zeros((1, size, size, 3), np.uint8), calls=5)
    assert sum(layer.macs for layer in made) == bundle.card.macs
    rows = layers.by_kind(made, peak=50e9, near=90e9, shared=80e9)
    assert rows["depthwise"]["layers"] == rows["pointwise"]["layers"] == 13
    assert rows["stem"]["layers"] == 1
    assert sum(row["of the time"] for kind, row in rows.items() if kind != "all") == pytest.approx(1, abs=1e-3)
    width = {"fp32": 4, "int8": 1}[precision]
    weights = sum(layer.weights for layer in made if layer.kind == "pointwise")
    assert weights == pytest.approx(width * 3.14e6, rel=0.15)  # INT8: scales, and a layer may have stayed float


def test_a_layer_is_as_slow_as_its_worse_roof() -> None:
    layer = layers.Layer("x", "pointwise", seconds=1.0, macs=100, weights=40, moved=60)
    assert layer.attainable(peak=10, near=1e9, shared=1e9) == pytest.approx(10)
    assert layer.attainable(peak=1e9, near=10, shared=2) == pytest.approx(26)


def test_bars_compare_within_one_engine_and_thread_count() -> None:
    def row(network, threads, over, peak=0.5, **more):
        return {"network": network, "engine": "ONNX Runtime", "precision": "fp32", "threads": threads, "batch": 1} | {
            "over_ours": over,
            "of_peak": peak,
            **more,
        }

    rows = [
        row("ours", 1, 1.0, 0.7),
        row("ours", 2, 1.0, 0.1),
        row(peers.PAPER, 1, 2.5),
        row(peers.PAPER, 2, 1.9),
        row(peers.B0, 1, 1.0, precision="int8"),
        row(peers.EMONET, 1, 1.0, batch=8),
    ]
    found = {(made["bar"], made["threads"]): made["holds"] for made in latency_report.bars(rows, "ours")}
    assert found == {("of the peak", 1): True, (f"over {peers.PAPER}", 1): True, (f"over {peers.PAPER}", 2): False}


def test_whole_script_writes_its_report_and_pictures(files, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(latency, "peer_file", lambda peer, precision: files[precision])
    monkeypatch.setattr(latency, "SIZES", {"fp32": (64,), "int8": (64,)})
    monkeypatch.setattr(latency, "bandwidths", lambda threads: dict.fromkeys(roofline.BYTES, 50.0))
    monkeypatch.setattr(
        sys, "argv", ["latency", "--only", "mini", "--budget", "0.1", "--out", str(tmp_path / "latency.json")]
    )
    latency.main()
    report = json.loads((tmp_path / "latency.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {"latency.json", "latency.png", "roofline.png"}
    engines = 1 + (importlib.util.find_spec("openvino") is not None)
    assert len(report["rows"]) == 2 * engines * 2 * 2 * 2  # networks, engines, precisions, threads, batches
    for row in report["rows"]:
        assert row["ms"] > 0
        if row["network"] != MINI.name:
            assert row["over_ours"] == 1
    assert report["versions"]["onnxruntime"] == onnxruntime.__version__
    assert "of the peak" in capsys.readouterr().out
