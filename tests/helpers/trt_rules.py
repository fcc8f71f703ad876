"""Whether an ONNX file keeps to TensorRT's published rules: told on any machine, before there is a GPU to try it on.

The rules, for TensorRT 10 and 11, are those of
- onnx-tensorrt's docs/operators.md: operators, opsets, "UINT8 is only supported as network input or output";
- IQuantizeLayer and IDequantizeLayer of the C++ API: scales constant and positive, zero points zero, a scale for the
  tensor or one for each channel;
- "Working with Quantized Types" of the inference library: activations have one scale, weights one for each output
  channel; https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-quantized-types.html

Some are kept although NVIDIA's parser does not insist: it takes a uint8 zero point for an int8 one, which saturates
elsewhere, and an operator of a known name, whatever its domain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

OPSETS = range(9, 20)
"""From the oldest that is supported to the newest that operators.md already names for TensorRT 9.2."""
OPERATORS = {
    "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv", "ConvTranspose",
    "DequantizeLinear", "Div", "Erf", "Exp", "Expand", "Flatten", "Gather", "Gemm", "GlobalAveragePool",
    "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg",
    "Pad", "Pow", "PRelu", "QuantizeLinear", "Range", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape",
    "Shape", "Sigmoid", "Slice", "Softmax", "Softplus", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose",
    "Unsqueeze", "Where",
}  # fmt: skip
"""Those marked Y in operators.md that networks like ours consist of."""
QUANTIZING = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Facts:
    """A graph by tensor name. ``kinds``: element types, as far as they can be inferred."""

    graph: GraphProto
    constants: dict[str, NDArray[np.generic]]
    kinds: dict[str, int]
    makers: dict[str, NodeProto]
    users: dict[str, list[tuple[NodeProto, int]]]

    @property
    def inputs(self) -> list[ValueInfoProto]:
        """Without the initializers, which old files list there too."""
        return [value for value in self.graph.input if value.name not in self.constants]

    def is_weight(self, name: str) -> bool:
        """Whether a tensor is constant, be it quantized by the graph."""
        maker = self.makers.get(name)
        quantized = maker is not None and maker.op_type in QUANTIZING and self.is_weight(maker.input[0])
        return name in self.constants or quantized


def violations(model: onnx.ModelProto) -> list[str]:
    """What of ``model`` breaks a rule, in words, with the node or tensor; empty where nothing does."""
    facts = _facts(onnx.shape_inference.infer_shapes(model).graph)
    opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0)
    found = [] if opset in OPSETS else [f"opset {opset} is not in {OPSETS.start} to {OPSETS.stop - 1}"]
    for rule in (_operators, _shapes, _bytes, _quantization):
        found += rule(facts)
    return found


def _facts(graph: GraphProto) -> Facts:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    users: dict[str, list[tuple[NodeProto, int]]] = defaultdict(list)
    makers = {}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        makers.update(dict.fromkeys(node.output, node))
        for i, name in enumerate(node.input):
            users[name].append((node, i))
    for value in (*graph.input, *graph.value_info, *graph.output):
        kinds[value.name] = value.type.tensor_type.elem_type
    return Facts(graph, constants, kinds, makers, users)


def _operators(facts: Facts) -> Iterator[str]:
    for node in facts.graph.node:
        if node.domain not in ("", "ai.onnx"):
            yield f"{_label(node)} is an operator of {node.domain}, not of ONNX"
        elif node.op_type not in OPERATORS:
            yield f"{_label(node)} is not an operator that is known to run in TensorRT"
        elif node.op_type.startswith("Reduce") and len(node.input) > 1 and node.input[1] not in facts.constants:
            yield f"{_label(node)} computes its axes, which must be constant"
        elif node.op_type.endswith("Pool") and set(_attribute(node, "dilations", [1])) != {1}:
            yield f"{_label(node)} has dilations, which TensorRT's pooling does not know"


def _shapes(facts: Facts) -> Iterator[str]:
    for value in (*facts.inputs, *facts.graph.output):
        dims = value.type.tensor_type.shape.dim
        free = [i for i, dim in enumerate(dims) if dim.dim_value <= 0 and i > 0]
        if not dims:
            yield f"{value.name} has no known shape"
        elif free:
            yield f"{value.name} has a free size in dimension {free[0]}; only the batch, dimension 0, may be free"


def _bytes(facts: Facts) -> Iterator[str]:
    inputs = {value.name for value in facts.inputs}
    for name, kind in facts.kinds.items():
        users = [node for node, _ in facts.users[name] if node.op_type not in QUANTIZING]
        if kind != TensorProto.UINT8 or not users:
            continue
        if name not in inputs:
            yield f"{name} is uint8, which only inputs may be"
            continue
        for node in users:
            if node.op_type != "Cast":
                yield f"{_label(node)} reads the uint8 input {name}, which must be cast before all else"
            elif _attribute(node, "to", 0) not in (TensorProto.FLOAT, TensorProto.FLOAT16):
                yield f"{_label(node)} casts the uint8 input {name} to something else than float32 or float16"


def _quantization(facts: Facts) -> Iterator[str]:
    for node in facts.graph.node:
        if node.op_type not in QUANTIZING:
            continue
        label, scale = _label(node), facts.constants.get(node.input[1])
        zero = node.input[2] if len(node.input) > 2 else ""
        if scale is None or not (np.asarray(scale, np.float64) > 0).all():
            yield f"{label} has a scale that is not constant and positive"
        if zero and (facts.kinds.get(zero) != TensorProto.INT8 or np.any(facts.constants.get(zero, 1))):
            yield f"{label} is not symmetric: its zero point must be a constant int8 0"
        if node.op_type == "QuantizeLinear":
            if not zero and _attribute(node, "output_dtype", 0) != TensorProto.INT8:
                yield f"{label} has no zero point, so it gives uint8; give it an int8 0"
            for user, _ in facts.users[node.output[0]]:
                if user.op_type != "DequantizeLinear":
                    yield f"{_label(user)} computes with the int8 of {label}; a DequantizeLinear must come between"
        elif facts.kinds.get(node.input[0]) != TensorProto.INT8:
            yield f"{label} reads something else than int8 (leave biases in float32)"
        if scale is not None and scale.size > 1:
            yield from _channels(facts, node, scale.size)


def _channels(facts: Facts, node: NodeProto, scales: int) -> Iterator[str]:
    """Several scales: of weights, one for each output channel of the layers that read them."""
    if not facts.is_weight(node.input[0]):
        yield f"{_label(node)} has {scales} scales, but activations take one for the whole tensor"
        return
    shape = facts.constants[_source(facts, node.input[0])].shape
    axis = _attribute(node, "axis", 1) % len(shape)
    layers = facts.users[node.output[0]]
    if node.op_type == "QuantizeLinear":
        layers = [user for reader, _ in layers for user in facts.users[reader.output[0]]]
    for layer, place in layers:
        wanted = _output_axis(layer, len(shape)) if place == 1 else None
        if axis != wanted or scales != shape[axis]:
            yield f"{_label(node)} has {scales} scales on axis {axis} of {shape}, not one an output of {_label(layer)}"


def _source(facts: Facts, name: str) -> str:
    """The constant that a weight began as."""
    return name if name in facts.constants else _source(facts, facts.makers[name].input[0])


def _output_axis(layer: NodeProto, rank: int) -> int | None:
    """Where the weights of a layer have their outputs."""
    gemm = 0 if _attribute(layer, "transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1, "Gemm": gemm, "MatMul": rank - 1}.get(layer.op_type)


def _attribute(node: NodeProto, name: str, default: Any) -> Any:
    return next((onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def _label(node: NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"
