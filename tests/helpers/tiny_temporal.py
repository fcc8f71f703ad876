"""A temporal encoder small enough for tests: the mean of what the student said within a span, as ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tiny_card import change

from mien.bundle.card import CARD

WINDOW, SPAN, STATE = 8, 0.5, 10


def add_temporal(folder: Path, **entry: object) -> Path:
    """Put it into the bundle ``folder``; ``entry`` changes what the card says of it."""
    embedding = json.loads((folder / CARD).read_text())["embedding"]
    said = {"window": WINDOW, "span": SPAN, "state": STATE, "macs": 100, "training": "nothing"} | entry
    return change(folder, {"temporal.onnx": _model(embedding).SerializeToString()}, temporal=said)


def _model(embedding: int) -> object:
    constants = {
        "span": np.float32(SPAN),
        "first": np.array([1], np.int64),
        "last": np.array([-1], np.int64),
        "zero": np.float32(0),
        "split": np.array([8, 2], np.int64),
    }
    nodes = [
        helper.make_node("Concat", ["expression", "affect"], ["token"], axis=1),
        helper.make_node("Unsqueeze", ["token", "first"], ["newest"]),
        helper.make_node("Concat", ["newest", "past"], ["tokens"], axis=1),
        helper.make_node("ReduceSum", ["token", "last"], ["some"], keepdims=1),
        helper.make_node("Mul", ["some", "zero"], ["now"]),
        helper.make_node("Concat", ["now", "ages"], ["all_ages"], axis=1),
        helper.make_node("Abs", ["all_ages"], ["far"]),
        helper.make_node("LessOrEqual", ["far", "span"], ["near"]),
        helper.make_node("Cast", ["near"], ["weight"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weight", "last"], ["weights"]),
        helper.make_node("Mul", ["tokens", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "first"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["weights", "first"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Split", ["mean", "split"], ["expression_now", "affect_now"], axis=1),
        helper.make_node("Identity", ["embedding"], ["unused"]),
    ]
    inputs = {"embedding": [embedding], "expression": [8], "affect": [2], "past": [WINDOW - 1, STATE]}
    inputs["ages"] = [WINDOW - 1]
    outputs = {"expression_now": [8], "affect_now": [2], "token": [STATE], "unused": [embedding]}
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", *shape]) for n, shape in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", *shape]) for n, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
