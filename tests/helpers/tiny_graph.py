"""A graph from its nodes, for tests of what a rewriting does to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

SIZE = 12
CROPS: NDArray[np.uint8] = np.random.default_rng(5).integers(0, 256, (20, SIZE, SIZE, 3), np.uint8)
START = [
    make_node("Cast", ["crops"], ["floats"], to=TensorProto.FLOAT),
    make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
    make_node("Div", ["planes", "full"], ["x"]),
]
"""Crops, uint8 (N, 12, 12, 3), as ``x``, (N, 3, 12, 12) from 0 to 1."""


def conv(source: str, name: str, *weights: str, **attributes: Any) -> NodeProto:
    """A convolution with the weights ``name``_w, unless named, and no padding."""
    return make_node("Conv", [source, *(weights or (f"{name}_w", f"{name}_b"))], [name], f"node_{name}", **attributes)


def model(
    nodes: Sequence[NodeProto], constants: Mapping[str, Any], *outputs: str, ranks: Mapping[str, int] | None = None
) -> onnx.ModelProto:
    """``constants`` become float32. ``outputs`` are of rank 4, unless ``ranks`` knows better."""
    values = {"full": 255.0, "low": 0.0, "high": 6.0, **constants}
    graph = make_graph(
        [*START, *nodes],
        "tiny",
        [make_tensor_value_info("crops", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [make_tensor_value_info(name, TensorProto.FLOAT, [None] * (ranks or {}).get(name, 4)) for name in outputs],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in values.items()],
    )
    made = make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    return made


def run(made: onnx.ModelProto, *names: str) -> list[NDArray[np.float32]]:
    """Tensors of a graph for CROPS, without any optimization; the first output where none is named."""
    probe = onnx.ModelProto()
    probe.CopyFrom(made)
    held = {output.name for output in probe.graph.output}
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in held)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(list(names) or [made.graph.output[0].name], {"crops": CROPS})]
