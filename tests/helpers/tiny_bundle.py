"""A bundle small enough for tests: ONNX whose answers follow the mean color of a crop, with a card that fits it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mien.align import CropSpec
from mien.bundle.card import CARD, Calibration, ModelCard, TrainingSet
from mien.types import EXPRESSIONS

SIZE, EMBEDDING = 112, 16


def write_tiny_bundle(folder: Path, *, affect: bool = True) -> Path:
    """Write ``model.onnx`` and ``card.json`` into ``folder`` and return it. ``affect``: whether the card has figures of
    valence and arousal."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    onnx.save(_model(), path)
    card = ModelCard(
        name="tiny",
        version="0",
        labels=EXPRESSIONS,
        crop=CropSpec(size=SIZE, scale=1.2),
        embedding=EMBEDDING,
        backbone="none",
        macs=3 * EMBEDDING,
        parameters=3 * EMBEDDING,
        calibration=Calibration(temperature=1.0),
        metrics={"none, 5-fold": {}} if affect else {},
        training=(TrainingSet("none", 0, "none"),),
        limits="for tests only: it knows nothing about faces",
        files={path.name: hashlib.sha256(path.read_bytes()).hexdigest()},
    )
    (folder / CARD).write_text(card.to_json(), encoding="utf-8")
    return folder


def _model() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    shapes = {"to_embedding": (3, EMBEDDING), "to_classes": (EMBEDDING, 8), "to_affect": (EMBEDDING, 2)}
    weights = {name: random.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    weights["scale"] = np.array(1 / 255, dtype=np.float32)
    weights["axes"] = np.array([1, 2], dtype=np.int64)
    nodes = [
        helper.make_node("Cast", ["crops"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["color"]),
        helper.make_node("MatMul", ["color", "to_embedding"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "to_classes"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["expression"], axis=-1),
        helper.make_node("MatMul", ["embedding", "to_affect"], ["raw_affect"]),
        helper.make_node("Tanh", ["raw_affect"], ["affect"]),
    ]
    widths = {"expression": 8, "affect": 2, "embedding": EMBEDDING}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name, width in widths.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
