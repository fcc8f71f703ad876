"""TensorRT's rules: the packaged model keeps them, and each one finds what breaks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from trt_rules import violations

import mien

STUDENT = Path(mien.__file__).parent / "models/student/model.onnx"
RANDOM = np.random.default_rng(0)
CONSTANTS: dict[str, Any] = {
    "weights": RANDOM.integers(-127, 127, (4, 3, 3, 3)).astype(np.int8),
    "weights_float": RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32),
    "weights_uint8": RANDOM.integers(0, 255, (4, 3, 3, 3)).astype(np.uint8),
    "weights_back": RANDOM.integers(-127, 127, (3, 4, 3, 3)).astype(np.int8),
    "matrix": RANDOM.integers(-127, 127, (3, 4)).astype(np.int8),
    "matrix_turned": RANDOM.integers(-127, 127, (4, 3)).astype(np.int8),
    "bias": RANDOM.integers(-9, 9, 4).astype(np.int32),
    "bias_zero": np.zeros(4, np.int32),
    "scale": np.float32(0.02),
    "minus": np.float32(-0.02),
    "zero": np.int8(0),
    "three": np.int8(3),
    "zero_uint8": np.uint8(0),
    "scales": np.full(4, 0.01, np.float32),
    "zeros": np.zeros(4, np.int8),
    "scales3": np.full(3, 0.01, np.float32),
    "zeros3": np.zeros(3, np.int8),
    "axis": np.array([1]),
    "start": np.array([0]),
    "end": np.array([1]),
    "flat": np.array([-1, 3]),
}


def q(name: str, source: str, *how: str, **attributes: Any) -> NodeProto:
    return make_node("QuantizeLinear", [source, *how], [name], name, **attributes)


def dq(name: str, source: str, *how: str, **attributes: Any) -> NodeProto:
    return make_node("DequantizeLinear", [source, *how], [name], name, **attributes)


BEFORE = [make_node("Cast", ["crops"], ["float"], to=1), make_node("Transpose", ["float"], ["x"], perm=[0, 3, 1, 2])]
ACTIVATION = [q("xq", "x", "scale", "zero"), dq("xd", "xq", "scale", "zero")]
WEIGHTS = [dq("w", "weights", "scales", "zeros", axis=0)]
CONV = [make_node("Conv", ["xd", "w"], ["y"], "conv")]
FLAT = [make_node("Reshape", ["xd", "flat"], ["rows"])]


def graph(nodes: list[NodeProto], *, opset: int = 18, shape: tuple[int | str, ...] = ("N", 8, 8, 3)) -> onnx.ModelProto:
    """A model of ``nodes`` from ``crops`` to ``y``, with those of CONSTANTS that they use."""
    used = {name for node in nodes for name in node.input}
    made = make_graph(
        nodes,
        "rules",
        [make_tensor_value_info("crops", TensorProto.UINT8, shape)],
        [make_tensor_value_info("y", TensorProto.FLOAT, ("N", 2))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in CONSTANTS.items() if name in used],
    )
    return make_model(made, opset_imports=[make_opsetid("", opset), make_opsetid("com.microsoft", 1)], ir_version=9)


KEPT = {
    "int8 weights by channel": [*BEFORE, *ACTIVATION, *WEIGHTS, *CONV],
    "weights by tensor": [*BEFORE, *ACTIVATION, dq("w", "weights", "scale", "zero"), *CONV],
    "weights that the graph quantizes": [
        *BEFORE,
        *ACTIVATION,
        q("wq", "weights_float", "scales", "zeros", axis=0),
        dq("w", "wq", "scales", "zeros", axis=0),
        *CONV,
    ],
    "transposed convolution": [
        *BEFORE,
        *ACTIVATION,
        dq("w", "weights_back", "scales", "zeros", axis=1),
        make_node("ConvTranspose", ["xd", "w"], ["y"]),
    ],
    "matrix": [
        *BEFORE,
        *ACTIVATION,
        *FLAT,
        dq("w", "matrix", "scales", "zeros", axis=-1),
        make_node("MatMul", ["rows", "w"], ["y"]),
    ],
    "turned matrix": [
        *BEFORE,
        *ACTIVATION,
        *FLAT,
        dq("w", "matrix_turned", "scales", "zeros", axis=0),
        make_node("Gemm", ["rows", "w"], ["y"], transB=1),
    ],
}
REFUSED = {
    "asymmetric", "uint8 weights", "negative scale", "int32 bias", "uint8 transpose", "uint8 inside", "ConvInteger",
    "computed axes", "dilated pooling",
}  # fmt: skip
"""Of those below, what NVIDIA's parser refuses too. The others it takes, and computes something else or slowly."""
BROKEN: dict[str, tuple[list[NodeProto], str]] = {
    "uint8 transpose": (
        [make_node("Transpose", ["crops"], ["t"], "turn", perm=[0, 3, 1, 2]), make_node("Cast", ["t"], ["y"], to=1)],
        "Transpose turn reads the uint8 input crops, which must be cast before all else",
    ),
    "uint8 shape": (
        [make_node("Shape", ["crops"], ["s"], "size"), *BEFORE, make_node("Reshape", ["x", "s"], ["y"])],
        "Shape size reads the uint8 input crops",
    ),
    "uint8 inside": (
        [*BEFORE, make_node("Cast", ["x"], ["bytes"], to=2), make_node("Cast", ["bytes"], ["y"], to=1)],
        "bytes is uint8, which only inputs may be",
    ),
    "cast to integers": (
        [make_node("Cast", ["crops"], ["ints"], "ints", to=6), make_node("Cast", ["ints"], ["y"], to=1)],
        "Cast ints casts the uint8 input crops to something else",
    ),
    "asymmetric": (
        [*BEFORE, q("xq", "x", "scale", "three"), dq("xd", "xq", "scale", "three"), *WEIGHTS, *CONV],
        "QuantizeLinear xq is not symmetric: its zero point must be a constant int8 0",
    ),
    "uint8 zero point": (
        [*BEFORE, q("xq", "x", "scale", "zero_uint8"), dq("xd", "xq", "scale", "zero_uint8"), *WEIGHTS, *CONV],
        "QuantizeLinear xq is not symmetric",
    ),
    "no zero point": (
        [*BEFORE, q("xq", "x", "scale"), dq("xd", "xq", "scale"), *WEIGHTS, *CONV],
        "QuantizeLinear xq has no zero point, so it gives uint8",
    ),
    "uint8 weights": (
        [*BEFORE, *ACTIVATION, dq("w", "weights_uint8", "scale", "zero_uint8"), *CONV],
        "DequantizeLinear w reads something else than int8",
    ),
    "negative scale": (
        [*BEFORE, q("xq", "x", "minus", "zero"), dq("xd", "xq", "minus", "zero"), *WEIGHTS, *CONV],
        "QuantizeLinear xq has a scale that is not constant and positive",
    ),
    "activations by channel": (
        [*BEFORE, q("xq", "x", "scales3", "zeros3"), dq("xd", "xq", "scales3", "zeros3"), *WEIGHTS, *CONV],
        "QuantizeLinear xq has 3 scales, but activations take one for the whole tensor",
    ),
    "weights by input channel": (
        [*BEFORE, *ACTIVATION, dq("w", "weights", "scales3", "zeros3", axis=1), *CONV],
        "DequantizeLinear w has 3 scales on axis 1 of (4, 3, 3, 3), not one an output of Conv conv",
    ),
    "matrix by row": (
        [
            *BEFORE,
            *ACTIVATION,
            *FLAT,
            dq("w", "matrix", "scales3", "zeros3", axis=0),
            make_node("MatMul", ["rows", "w"], ["y"], "last"),
        ],
        "DequantizeLinear w has 3 scales on axis 0 of (3, 4), not one an output of MatMul last",
    ),
    "int32 bias": (
        [
            *BEFORE,
            *ACTIVATION,
            *WEIGHTS,
            dq("b", "bias", "scales", "bias_zero", axis=0),
            make_node("Conv", ["xd", "w", "b"], ["y"]),
        ],
        "DequantizeLinear b reads something else than int8 (leave biases in float32)",
    ),
    "computing in int8": (
        [
            *BEFORE,
            q("xq", "x", "scale", "zero"),
            make_node("Relu", ["xq"], ["r"], "act"),
            dq("y", "r", "scale", "zero"),
        ],
        "Relu act computes with the int8 of QuantizeLinear xq",
    ),
    "ConvInteger": (
        [
            *BEFORE,
            q("xq", "x", "scale", "zero"),
            make_node("ConvInteger", ["xq", "weights"], ["i"], "whole"),
            make_node("Cast", ["i"], ["y"], to=1),
        ],
        "ConvInteger whole is not an operator that is known",
    ),
    "foreign operator": (
        [*BEFORE, make_node("Gelu", ["x"], ["y"], "gelu", domain="com.microsoft")],
        "Gelu gelu is an operator of com.microsoft",
    ),
    "computed axes": (
        [
            *BEFORE,
            make_node("Shape", ["x"], ["s"]),
            make_node("Slice", ["s", "start", "end"], ["axes"]),
            make_node("ReduceMean", ["x", "axes"], ["y"], "mean"),
        ],
        "ReduceMean mean computes its axes, which must be constant",
    ),
    "dilated pooling": (
        [*BEFORE, make_node("MaxPool", ["x"], ["y"], "pool", kernel_shape=[2, 2], dilations=[2, 2])],
        "MaxPool pool has dilations",
    ),
}


def test_the_packaged_student_keeps_every_rule() -> None:
    assert violations(onnx.load(STUDENT)) == []


@pytest.mark.parametrize("kept", KEPT)
def test_what_keeps_the_rules_passes(kept: str) -> None:
    assert violations(graph(KEPT[kept])) == []


@pytest.mark.parametrize("broken", BROKEN)
def test_what_breaks_a_rule_is_named(broken: str) -> None:
    nodes, words = BROKEN[broken]
    found = violations(graph(nodes))
    assert any(words in violation for violation in found), found


def test_only_the_batch_may_be_free() -> None:
    nodes = [*BEFORE, make_node("Relu", ["x"], ["y"])]
    assert violations(graph(nodes)) == []
    assert violations(graph(nodes, shape=(2, 8, 8, 3))) == []
    assert violations(graph(nodes, shape=("N", "H", 8, 3))) == [
        "crops has a free size in dimension 1; only the batch, dimension 0, may be free"
    ]
    model = graph(nodes)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert "y has a free size in dimension" not in "".join(violations(model))  # its shape is inferred
    model.graph.output[0].name = "nothing"
    assert violations(model) == ["nothing has no known shape"]


@pytest.mark.parametrize(("opset", "kept"), [(8, False), (9, True), (19, True), (20, False)])
def test_opsets(opset: int, kept: bool) -> None:
    found = violations(graph([*BEFORE, make_node("Relu", ["x"], ["y"])], opset=opset))
    assert found == ([] if kept else [f"opset {opset} is not in 9 to 19"])


@pytest.mark.parametrize("name", [*KEPT, *BROKEN])
def test_nvidias_own_parser_agrees(name: str) -> None:
    """Whatever it refuses, the rules name; what they pass, it takes."""
    trt = pytest.importorskip(
        "tensorrt_rtx_bindings", reason="needs: pip install tensorrt-rtx-cu12-bindings tensorrt-rtx-cu12-libs"
    )
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    network = trt.Builder(logger).create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    nodes = KEPT[name] if name in KEPT else BROKEN[name][0]
    taken = trt.OnnxParser(network, logger).parse(graph(nodes).SerializeToString())
    assert taken == (name not in REFUSED)
