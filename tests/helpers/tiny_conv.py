"""A bundle with convolutions that nobody trained: small enough to be quantized in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_bundle import write_tiny_bundle

from mien.align import CropSpec
from mien.bundle.card import CARD, read_card
from mien.files import sha256

SIZE, WIDTH = 32, 16


def write_conv_bundle(folder: Path) -> Path:
    """Write ``model.onnx`` and ``card.json`` into ``folder`` and return it."""
    write_tiny_bundle(folder)
    path = folder / "model.onnx"
    onnx.save(_model(), path)
    card = replace(
        read_card(folder), name="conv", crop=CropSpec(SIZE), embedding=WIDTH, files={path.name: sha256(path)}
    )
    (folder / CARD).write_text(card.to_json(), encoding="utf-8")
    return folder


def _model() -> onnx.ModelProto:
    rng = np.random.default_rng(3)
    shapes = {"first": (8, 3, 3, 3), "second": (WIDTH, 8, 3, 3), "classes": (WIDTH, 8), "feelings": (WIDTH, 2)}
    weights = {name: rng.normal(0, 1 / np.sqrt(np.prod(s[1:])), s).astype(np.float32) for name, s in shapes.items()}
    weights["classes"] *= 12  # clear answers
    weights |= {"low": np.float32(0), "high": np.float32(6), "gray": np.float32(127.5), "axes": np.array([2, 3])}
    weights |= {"least": np.float32(-1), "most": np.float32(1)}
    nodes = [
        helper.make_node("Cast", ["crops"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "gray"], ["centered"]),
        helper.make_node("Div", ["centered", "gray"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "first"], ["a"], "conv_1", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["a", "low", "high"], ["b"], "clip_1"),
        helper.make_node("Conv", ["b", "second"], ["c"], "conv_2", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c", "low", "high"], ["d"], "clip_2"),
        helper.make_node("ReduceMean", ["d", "axes"], ["embedding"], keepdims=0),
        helper.make_node("MatMul", ["embedding", "classes"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["expression"], axis=-1),
        helper.make_node("MatMul", ["embedding", "feelings"], ["raw"]),
        helper.make_node("Clip", ["raw", "least", "most"], ["affect"]),
    ]
    outputs = {"expression": 8, "affect": 2, "embedding": WIDTH}
    graph = helper.make_graph(
        nodes,
        "conv",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name, width in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
