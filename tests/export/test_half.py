"""FP16: what stays float32, that probabilities stay where they were, and graphs that are not the student's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node
from tiny_graph import conv, model, run
from trt_rules import violations

import mien_export.fp16
from mien.bundle import find_bundle
from mien.engines import load_engine
from mien.engines.golden import golden_crops
from mien.errors import ModelInvalid
from mien_export.calibration_faces import read_faces
from mien_export.correction import weights_of
from mien_export.fp16 import FIRST, write_half

MODEL = find_bundle("default").model_file("fp32")
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    write_half(MODEL, path)
    return path


def test_all_is_half_but_the_first_layers_and_the_heads(half: Path) -> None:
    made = onnx.load(half)
    weights = weights_of(made.graph)
    kinds = [weights[node.input[1]].dtype for node in made.graph.node if node.op_type == "Conv"]
    assert kinds == [np.float32] * FIRST + [np.float16] * (len(kinds) - FIRST)
    assert {weights[node.input[1]].dtype for node in made.graph.node if node.op_type == "Gemm"} == {np.dtype("f4")}
    assert len([node for node in made.graph.node if node.op_type == "Cast"]) == 3  # the pixels, in, and out
    assert {value.type.tensor_type.elem_type for value in made.graph.output} == {TensorProto.FLOAT}
    assert violations(made) == []
    for node in made.graph.node:
        if node.op_type == "Clip":
            assert set(node.input[1:]) <= set(weights), "TensorRT wants constant bounds"
    assert half.stat().st_size < 0.52 * MODEL.stat().st_size


def test_probabilities_stay_within_five_thousandths(half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of drawn faces too: the network is less sure of them than of the portrait, so that a difference shows."""
    spec = find_bundle("default").card.crop
    crops = np.concatenate([golden_crops(spec.size), read_faces((), spec).crops])
    exact, made = (load_engine(path).run(crops) for path in (MODEL, half))
    gap = np.abs(made["expression"] - exact["expression"])
    assert 1e-5 < gap.max() < 5e-3
    monkeypatch.setattr(mien_export.fp16, "FIRST", 0)
    write_half(MODEL, half.with_name("all.onnx"))
    everything = load_engine(half.with_name("all.onnx")).run(crops)["expression"]
    assert np.abs(everything - exact["expression"]).mean() > 2 * gap.mean()  # what the first layers are kept for


def test_a_branch_around_layers_and_an_output_from_among_them(tmp_path: Path) -> None:
    nodes = [
        conv("x", "a"),
        conv("a", "b"),
        conv("b", "c"),
        make_node("Clip", ["c", "low", "high"], ["c_act"]),
        conv("c_act", "d"),
        conv("d", "e"),
        make_node("Add", ["a", "e"], ["sum"]),
        make_node("Relu", ["sum"], ["inside"]),
        conv("inside", "f"),
        conv("f", "g"),
        conv("g", "h"),
        make_node("Clip", ["h", "least", "high"], ["h_act"]),
        make_node("Add", ["h_act", "a"], ["out"]),
    ]
    names = "abcdefgh"
    constants = {f"{name}_w": RNG.normal(0, 0.4, (3, 3, 1, 1)) for name in names}
    constants |= {f"{name}_b": RNG.normal(0, 0.1, 3) for name in names} | {"least": -6.0}
    exact = model(nodes, constants, "out", "inside")
    onnx.save(exact, tmp_path / "exact.onnx")
    write_half(tmp_path / "exact.onnx", tmp_path / "half.onnx")
    made = onnx.load(tmp_path / "half.onnx")
    assert {value.data_type for value in made.graph.initializer} == {TensorProto.FLOAT, TensorProto.FLOAT16}
    for before, after in zip(run(exact, "out", "inside"), run(made, "out", "inside"), strict=True):
        assert after.dtype == np.float32
        np.testing.assert_allclose(after, before, rtol=3e-3, atol=0.05)
        assert np.abs(after - before).max() > 0


def test_weights_beyond_what_a_half_holds_stay_finite(tmp_path: Path) -> None:
    exact = model([conv("x", "a")], {"a_w": np.full((3, 3, 1, 1), 1e6), "a_b": np.zeros(3)}, "a")
    nodes = exact.graph.node
    nodes.append(make_node("Clip", ["a", "low", "high"], ["y"]))
    exact.graph.output[0].name = "y"
    onnx.save(exact, tmp_path / "exact.onnx")
    write_half(tmp_path / "exact.onnx", tmp_path / "half.onnx")
    assert np.isfinite(run(onnx.load(tmp_path / "half.onnx"))[0]).all()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not onnx")
    with pytest.raises(ModelInvalid, match="float16"):
        write_half(tmp_path / "broken.onnx", tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()
