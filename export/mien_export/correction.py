"""Corrections that make INT8 lose less, from statistics of channels on faces: equalization and bias correction.

Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv 1906.04721. An
activation has one scale for all its channels, so channels with small values get few of its steps. Where a depthwise
convolution reads the activation, each channel can be stretched to the full range, and shrunk again by that convolution.
Both convolutions have a scale for each output channel, so this costs nothing. Rounding the weights shifts the mean of
their outputs by (W - round W) E[x], which the bias can correct. The paper takes the largest values and the means from
batch norms; ours are folded away, so they are measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from mien.types import Image

CHUNK = 16
STRETCH = 64.0
"""Limit of the stretch, for channels that stayed at 0 on all faces but may not on others."""

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Channels:
    """By tensor: the ``largest`` value (C,) of each channel, for tensors that can be equalized, and the ``means`` (C,)
    of the inputs of all convolutions."""

    largest: dict[str, Values]
    means: dict[str, Values]


@dataclass(frozen=True)
class Stretchable:
    """``before`` -> Relu, or Clip from 0 to ``bound`` -> ``tensor`` -> ``depthwise``; nothing else reads these
    tensors."""

    tensor: str
    before: NodeProto
    depthwise: NodeProto
    bound: float | None


def measure_channels(model: ModelProto, crops: Image) -> Channels:
    """Statistics of the inputs of a model's convolutions over ``crops``, uint8 (N, S, S, 3). Pooled inside the graph,
    and in parts, so that no activation is kept."""
    probe = ModelProto()
    probe.CopyFrom(model)
    read = list(dict.fromkeys(node.input[0] for node in model.graph.node if node.op_type == "Conv"))
    stretched = [found.tensor for found in stretchable(model.graph)]
    pools = [("GlobalAveragePool", name) for name in read] + [("GlobalMaxPool", name) for name in stretched]
    names = [f"{pool} of {name}" for pool, name in pools]
    for (pool, name), output in zip(pools, names, strict=True):
        probe.graph.node.append(helper.make_node(pool, [name], [output]))
        probe.graph.output.append(helper.make_empty_tensor_value_info(output))
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    means = {name: np.float64(0) for name in read}
    largest = {name: np.float64(-np.inf) for name in stretched}
    for start in range(0, len(crops), CHUNK):
        parts = session.run(names, {session.get_inputs()[0].name: crops[start : start + CHUNK]})
        for (pool, name), part in zip(pools, parts, strict=True):
            values = part.reshape(part.shape[:2]).astype(np.float64)
            if pool == "GlobalAveragePool":
                means[name] = means[name] + values.sum(0) / len(crops)
            else:
                largest[name] = np.maximum(largest[name], values.max(0))
    return Channels(
        {name: np.asarray(value) for name, value in largest.items()},
        {name: np.asarray(value) for name, value in means.items()},
    )


def stretchable(graph: GraphProto) -> Iterator[Stretchable]:
    """Where channels can be stretched before an activation and shrunk behind it without changing the outputs."""
    reads = Counter(name for node in graph.node for name in node.input)
    reads.update(output.name for output in graph.output)
    makers = {output: node for node in graph.node for output in node.output}
    weights = weights_of(graph)
    for node in graph.node:
        if node.op_type != "Conv" or not _alone(node, reads, weights):
            continue
        outputs, inputs = weights[node.input[1]].shape[:2]
        activation = makers.get(node.input[0])
        if inputs != 1 or attribute(node, "group", 1) != outputs or activation is None:
            continue
        before = makers.get(activation.input[0])
        if before is None or before.op_type != "Conv" or not _alone(before, reads, weights):
            continue
        if reads[activation.input[0]] != 1 or reads[node.input[0]] != 1:
            continue
        if activation.op_type == "Relu":
            yield Stretchable(node.input[0], before, node, None)
        elif activation.op_type == "Clip" and len(activation.input) == 3:
            low, high = (weights.get(name) for name in activation.input[1:])
            if low is not None and high is not None and low.item() == 0 < high.item():
                yield Stretchable(node.input[0], before, node, float(high.item()))


def _alone(node: NodeProto, reads: Mapping[str, int], weights: Mapping[str, Any]) -> bool:
    """Whether the weights and the bias of a layer are constants that no other node reads."""
    return all(name in weights and reads[name] == 1 for name in node.input[1:] if name)


def equalize(model: ModelProto, channels: Channels) -> tuple[ModelProto, Channels]:
    """The same network with all possible activations stretched, and its statistics. It computes the same, except that
    clips now cut at the ``largest`` value of each channel."""
    equalized = ModelProto()
    equalized.CopyFrom(model)
    weights = weights_of(equalized.graph)
    changed: dict[str, NDArray[Any]] = {}
    largest, means = dict(channels.largest), dict(channels.means)
    for found in stretchable(equalized.graph):
        if found.tensor not in channels.largest:
            continue
        top = channels.largest[found.tensor]
        bound = float(top.max()) if found.bound is None else found.bound
        if bound <= 0:
            continue
        scale = np.clip(bound / np.maximum(top, bound / STRETCH), 1, STRETCH)
        for name in filter(None, found.before.input[1:]):
            weight = changed.get(name, weights[name])  # a layer between two depthwise ones changes twice
            changed[name] = weight * _along(scale, weight)
        name = found.depthwise.input[1]
        changed[name] = changed.get(name, weights[name]) / _along(scale, weights[name])
        largest[found.tensor] = top * scale
        if found.tensor in means:
            means[found.tensor] = means[found.tensor] * scale
    for item in equalized.graph.initializer:
        if item.name in changed:
            kind = weights[item.name].dtype
            item.CopyFrom(numpy_helper.from_array(changed[item.name].astype(kind), item.name))
    return equalized, Channels(largest, means)


def misfits(graph: GraphProto, channels: Channels) -> list[str]:
    """Inputs of convolutions without statistics, or with statistics of another number of channels."""
    weights, found = weights_of(graph), []
    for node in graph.node:
        if node.op_type != "Conv" or node.input[1] not in weights:
            continue
        wanted = (weights[node.input[1]].shape[1] * attribute(node, "group", 1),)
        mean = channels.means.get(node.input[0], np.empty(0))
        if not mean.shape == channels.largest.get(node.input[0], mean).shape == wanted:
            found.append(node.input[0])
    return found


def correct_biases(rounded_model: ModelProto, exact: ModelProto, means: Mapping[str, Values]) -> None:
    """Correct the biases for what rounding the weights did to the mean of each output. ``rounded_model`` is ``exact``
    with some weights quantized, and is changed in place. ``means``: of the inputs of ``exact``'s convolutions."""
    before, after = weights_of(exact.graph), weights_of(rounded_model.graph)
    layers = {node.output[0]: node for node in exact.graph.node}
    makers = {output: node for node in rounded_model.graph.node for output in node.output}
    for node in rounded_model.graph.node:
        source = makers.get(node.input[1]) if node.op_type == "Conv" else None
        if source is None or source.op_type != "DequantizeLinear":
            continue
        layer = layers[node.output[0]]
        weight, groups = before[layer.input[1]].astype(np.float64), attribute(node, "group", 1)
        rounded = after[source.input[0]] * _along(after[source.input[1]].astype(np.float64), weight)
        lost = (weight - rounded).reshape(groups, -1, weight.shape[1], weight[0, 0].size).sum(-1)
        shift = np.einsum("goi,gi->go", lost, means[layer.input[0]].reshape(groups, -1)).reshape(-1)
        bias = after[node.input[2]] + shift if len(node.input) > 2 and node.input[2] else shift
        name = f"{node.output[0]}_bias"
        rounded_model.graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), name))
        node.input[:] = [*node.input[:2], name]


def _along(scale: Values, weight: NDArray[Any]) -> Values:
    """A number for each output of a layer, shaped to multiply its weights or bias."""
    return scale.reshape(-1, *[1] * (weight.ndim - 1))


def weights_of(graph: GraphProto) -> dict[str, NDArray[Any]]:
    """The constants of a graph by name."""
    return {item.name: numpy_helper.to_array(item) for item in graph.initializer}


def attribute(node: NodeProto, name: str, default: int) -> int:
    found = (onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == name)
    return int(next(found, default))
