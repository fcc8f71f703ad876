"""Equalization leaves a network what it is, and bias correction the means of its channels; both know their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, numpy_helper
from onnx.helper import make_node
from tiny_graph import CROPS, conv, model, run

from mien_export.correction import (
    STRETCH,
    Channels,
    correct_biases,
    equalize,
    measure_channels,
    misfits,
    stretchable,
    weights_of,
)

RNG = np.random.default_rng(2)
UNEVEN = np.array([0.05, 0.1, 0.3, 0.6, 1, 2, 3, 0])
"""How strong each channel is; the last is dead."""
WEIGHTS = {
    "first_w": RNG.normal(0, 1, (8, 3, 3, 3)) * UNEVEN[:, None, None, None],
    "first_b": RNG.uniform(0, 1, 8) * UNEVEN,
    "deep_w": RNG.normal(0, 1, (8, 1, 3, 3)) / np.maximum(UNEVEN, 0.05)[:, None, None, None],
    "deep_b": RNG.normal(0, 1, 8),
    "deeper_w": RNG.normal(0, 1, (8, 1, 3, 3)),
    "deeper_b": RNG.normal(0, 1, 8),
    "last_w": RNG.normal(0, 1, (4, 8, 1, 1)),
    "last_b": RNG.normal(0, 1, 4),
    "wide_w": RNG.normal(0, 1, (16, 1, 3, 3)),
    "wide_b": RNG.normal(0, 1, 16),
    "square_w": RNG.normal(0, 1, (8, 8, 3, 3)),
    "square_b": RNG.normal(0, 1, 8),
    "grouped_w": RNG.normal(0, 1, (6, 4, 3, 3)),
    "grouped_b": RNG.normal(0, 1, 6),
    "minus": -1.0,
}
FIRST, DEEP, LAST = conv("x", "first"), conv("act", "deep", group=8), conv("deep_act", "last")


def clip(source: str, name: str, low: str = "low") -> NodeProto:
    return make_node("Clip", [source, low, "high"], [name], name)


ACT, DEEP_ACT = clip("first", "act"), clip("deep", "deep_act")
PLAIN = [FIRST, ACT, DEEP, DEEP_ACT, LAST]


@pytest.mark.parametrize("activation", [ACT, make_node("Relu", ["first"], ["act"], "act")])
@pytest.mark.parametrize("bias", [True, False])
def test_equalizing_changes_no_output_and_fills_every_channel(activation: NodeProto, bias: bool) -> None:
    first = FIRST if bias else conv("x", "first", "first_w")
    before = model([first, activation, DEEP, DEEP_ACT, LAST], WEIGHTS, "last")
    channels = measure_channels(before, CROPS)
    assert channels.largest["act"].max() / channels.largest["act"][:-1].min() > 10
    after, told = equalize(before, channels)
    np.testing.assert_allclose(run(after)[0], run(before)[0], rtol=1e-4, atol=1e-4)
    measured = measure_channels(after, CROPS)
    bound = 6 if activation.op_type == "Clip" else channels.largest["act"].max()
    awake = channels.largest["act"] > bound / STRETCH
    np.testing.assert_allclose(measured.largest["act"][awake], bound, rtol=1e-4)
    assert awake.sum() == 7
    for name, means in told.means.items():
        np.testing.assert_allclose(measured.means[name], means, rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(measured.largest["act"], told.largest["act"], rtol=1e-4)


def test_a_layer_between_two_depthwise_ones_is_stretched_and_shrunk() -> None:
    before = model([FIRST, ACT, DEEP, DEEP_ACT, conv("deep_act", "deeper", group=8)], WEIGHTS, "deeper")
    assert [found.tensor for found in stretchable(before.graph)] == ["act", "deep_act"]
    after, _ = equalize(before, measure_channels(before, CROPS))
    np.testing.assert_allclose(run(after)[0], run(before)[0], rtol=1e-4, atol=1e-4)
    measured = measure_channels(after, CROPS)
    for name in ("act", "deep_act"):
        assert np.median(measured.largest[name]) == pytest.approx(6, rel=1e-3)


REFUSED: dict[str, list[NodeProto]] = {
    "a clip that does not start at 0": [FIRST, clip("first", "act", "minus"), DEEP, DEEP_ACT, LAST],
    "a clip with a bound that is computed": [
        FIRST, make_node("Identity", ["high"], ["top"]), make_node("Clip", ["first", "low", "top"], ["act"]),
        DEEP, DEEP_ACT, LAST,
    ],
    "a clip without a bound": [FIRST, make_node("Clip", ["first", "low"], ["act"]), DEEP, DEEP_ACT, LAST],
    "another activation": [FIRST, make_node("HardSigmoid", ["first"], ["act"]), DEEP, DEEP_ACT, LAST],
    "no activation": [make_node("Conv", ["x", "first_w", "first_b"], ["act"]), DEEP, DEEP_ACT, LAST],
    "a second reader of the activation": [*PLAIN, make_node("Relu", ["act"], ["more"])],
    "a second reader before the activation": [*PLAIN, make_node("Relu", ["first"], ["more"])],
    "a sum before the activation": [
        FIRST, make_node("Add", ["first", "first"], ["sum"]), clip("sum", "act"), DEEP, DEEP_ACT, LAST,
    ],
    "a dense layer behind": [FIRST, ACT, conv("act", "square"), clip("square", "deep_act"), LAST],
    "two outputs a channel": [FIRST, ACT, conv("act", "wide", group=8), make_node("Relu", ["wide"], ["last"])],
    "weights of two layers": [
        FIRST, ACT, DEEP, DEEP_ACT, LAST, make_node("Conv", ["x", "first_w"], ["more"]),
    ],
    "a bias of two layers": [
        FIRST, ACT, conv("act", "deep", "deep_w", "first_b", group=8), DEEP_ACT, LAST,
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_stay_the_same_is_left_alone(name: str) -> None:
    before = model(REFUSED[name], WEIGHTS, "last")
    assert list(stretchable(before.graph)) == []
    after, _ = equalize(before, measure_channels(before, CROPS))
    assert after.SerializeToString() == before.SerializeToString()


def test_an_activation_that_is_an_output_is_left_alone() -> None:
    assert [found.tensor for found in stretchable(model(PLAIN, WEIGHTS, "last").graph)] == ["act"]
    assert list(stretchable(model(PLAIN, WEIGHTS, "last", "act").graph)) == []
    assert list(stretchable(model(PLAIN, WEIGHTS, "last", "first").graph)) == []


def test_statistics_are_those_of_all_crops() -> None:
    """Twenty of them, which are more than are run at once."""
    made = model(PLAIN, WEIGHTS, "last")
    channels = measure_channels(made, CROPS)
    assert set(channels.means) == {"x", "act", "deep_act"}
    assert set(channels.largest) == {"act"}
    x, act, deep = run(made, "x", "act", "deep_act")
    for name, values in (("x", x), ("act", act), ("deep_act", deep)):
        np.testing.assert_allclose(channels.means[name], values.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(channels.largest["act"], act.max((0, 2, 3)), rtol=1e-6)


def rounded(exact: onnx.ModelProto, layers: set[str]) -> onnx.ModelProto:
    """The graph with the weights of ``layers`` in 13 steps by channel, as int8 that are dequantized."""
    made = onnx.ModelProto()
    made.CopyFrom(exact)
    weights, nodes = weights_of(exact.graph), []
    for node in made.graph.node:
        if node.output[0] in layers:
            weight, name = weights[node.input[1]], node.input[1]
            scale = np.abs(weight).max((1, 2, 3)).astype(np.float32) / 6
            steps = np.round(weight / scale[:, None, None, None]).astype(np.int8)
            values = {f"{name}_q": steps, f"{name}_scale": scale, f"{name}_zero": np.zeros(len(scale), np.int8)}
            made.graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in values.items())
            nodes.append(make_node("DequantizeLinear", list(values), [f"{name}_dq"], f"{name}_dq", axis=0))
            node.input[1] = f"{name}_dq"
        nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


LAYERS: dict[str, dict[str, Any]] = {"deep": {"group": 8}, "square": {}, "grouped": {"group": 2}, "wide": {"group": 8}}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bias", [True, False])
def test_rounded_weights_no_longer_shift_the_mean(name: str, bias: bool) -> None:
    weights = {**WEIGHTS, "first_w": np.abs(WEIGHTS["first_w"]) + 0.1}
    layer = conv("act", name, *[] if bias else [f"{name}_w"], **LAYERS[name])
    exact = model([FIRST, ACT, layer], weights, name)
    made = rounded(exact, {name})
    truth, shifted = (run(graph)[0].mean((0, 2, 3)) for graph in (exact, made))
    assert np.abs(shifted - truth).max() > 0.05
    correct_biases(made, exact, measure_channels(exact, CROPS).means)
    left = np.abs(run(made)[0].mean((0, 2, 3)) - truth).max()  # the outermost pixels are read less often than others
    assert left < 0.05 * np.abs(shifted - truth).max()


def test_layers_that_stay_float_keep_their_bias() -> None:
    exact = model([FIRST, ACT, DEEP], WEIGHTS, "deep")
    made = rounded(exact, {"deep"})
    correct_biases(made, exact, measure_channels(exact, CROPS).means)
    first, deep = (node for node in made.graph.node if node.op_type == "Conv")
    assert list(first.input) == ["x", "first_w", "first_b"]
    assert np.abs(weights_of(made.graph)[deep.input[2]] - weights_of(exact.graph)["deep_b"]).max() > 0


def test_statistics_of_another_model_are_noticed() -> None:
    graph = model(PLAIN, WEIGHTS, "last").graph
    right = measure_channels(model(PLAIN, WEIGHTS, "last"), CROPS)
    assert misfits(graph, right) == []
    assert misfits(graph, Channels({}, right.means)) == []
    short = {name: values[:3] for name, values in right.means.items()}
    assert misfits(graph, Channels(right.largest, short)) == ["act", "deep_act"]
    assert misfits(graph, Channels({"act": np.ones(5)}, right.means)) == ["act"]
    assert misfits(graph, Channels({}, {})) == ["x", "act", "deep_act"]
