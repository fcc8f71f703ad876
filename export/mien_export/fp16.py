"""FP16: the same graph with float16 weights, and float32 inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mien.errors import ModelInvalid

FIRST = 4
"""First convolutions that stay float32, but at most a quarter of all. Their filters subtract large values from each
other, for which the eleven bits of float16 are too few. In the packaged student they have 0.1 % of the weights; in
float16 they changed a probability by up to 0.019, without them it is 0.004."""


def write_half(source: Path, out: Path) -> None:
    """Write ``source`` (fp32 ONNX) to ``out`` with half-precision weights and arithmetic, except for the first layers
    and the heads. It has half the size, but is faster only on GPUs, since CPUs compute it in float32. Raises
    ModelInvalid."""
    try:
        model = onnx.load(source)
        _convert(model, range(*_body(model.graph)))
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the parser, the checker and shape inference share no base class
        raise ModelInvalid(f"{source} cannot be turned into float16: {error}") from error
    onnx.save(model, out)


def _body(graph: GraphProto) -> tuple[int, int]:
    """Start and end of the nodes to convert: from behind the FIRST convolutions up to the last convolution with its
    activation. The heads are a thousandth of the work, and calibrated probabilities depend on them."""
    layers = [i for i, node in enumerate(graph.node) if node.op_type == "Conv"]
    if not layers:
        return 0, len(graph.node)
    first = min(FIRST, len(layers) // 4)
    return (_behind(graph, layers[first - 1]) if first else layers[0]), _behind(graph, layers[-1])


def _behind(graph: GraphProto, layer: int) -> int:
    following = graph.node[layer + 1 : layer + 2]
    return layer + 1 + any(node.op_type in ("Clip", "Relu") for node in following)


def _convert(model: ModelProto, body: range) -> None:
    """Let the nodes at the places in ``body`` compute in float16, with casts between them and the others. ONNX
    Runtime's converter would round between all nodes, even those that stay float32, and cast the bounds of a Clip that
    both kinds share, where TensorRT needs constants."""
    graph = model.graph
    known = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    constants = {item.name: item for item in graph.initializer}
    floats = {item.name for item in graph.initializer if item.data_type == TensorProto.FLOAT}
    for value in (*known.input, *known.value_info, *known.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            floats.add(value.name)
    outputs = {value.name for value in graph.output}
    nodes: list[NodeProto] = []
    halves: set[str] = set()
    cast: set[str] = set()
    for i, node in enumerate(graph.node):
        inside = i in body and node.op_type != "Constant" and not outputs.intersection(node.output)
        for k, name in enumerate(node.input):
            if name not in floats or inside == (name in halves):
                continue
            if name in constants and not inside:
                continue
            other = f"{name}_{'half' if inside else 'float'}"
            node.input[k] = other
            if other in cast:
                continue
            cast.add(other)
            if name in constants:
                graph.initializer.append(_half(constants[name], other))
            else:
                kind = TensorProto.FLOAT16 if inside else TensorProto.FLOAT
                nodes.append(helper.make_node("Cast", [name], [other], f"cast_{other}", to=kind))
        nodes.append(node)
        if inside:
            halves.update(floats.intersection(node.output))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    for item in [item for item in graph.initializer if item.name not in used]:
        graph.initializer.remove(item)


def _half(constant: TensorProto, name: str) -> TensorProto:
    most = np.finfo(np.float16).max
    return numpy_helper.from_array(np.clip(numpy_helper.to_array(constant), -most, most).astype(np.float16), name)
