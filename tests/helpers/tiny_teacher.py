"""Teachers small enough for tests: ONNX whose answers follow the mean color, and a checkpoint that nobody trained."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from mien.align import CropSpec
from mien.sources.demo import demo_picture
from mien_train.data.augment import augmented_crop
from mien_train.models.student import Student
from mien_train.recipe import AugmentRecipe, Recipe
from mien_train.settings import build

TEN = np.random.default_rng(3).normal(0, 1, (3, 10)).astype(np.float32)
"""From the mean color of what the ONNX file is given to its ten outputs."""


def write_onnx(
    path: Path, size: int = 16, layout: str = "nchw", batch: int | str = "N", probabilities: bool = False
) -> Path:
    """Outputs ``both`` (N, 10), eight classes and two numbers, and ``color`` (N, 3)."""
    shape = [batch, 3, size, size] if layout == "nchw" else [batch, size, size, 3]
    weights = {"axes": np.array([2, 3] if layout == "nchw" else [1, 2]), "ten": TEN}
    nodes = [
        helper.make_node("ReduceMean", ["picture", "axes"], ["color"], keepdims=0),
        helper.make_node("MatMul", ["color", "ten"], ["raw"]),
        helper.make_node(*(("Softmax", ["raw"], ["both"]) if probabilities else ("Identity", ["raw"], ["both"]))),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, k]) for n, k in (("both", 10), ("color", 3))],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def write_checkpoint(path: Path, crop: CropSpec, seed: int = 0, affect: str = "affectnet-va/train") -> Path:
    """A student that nobody trained, whose answers and temperature differ from face to face all the same."""
    torch.manual_seed(seed)
    about = {"size": crop.size, "anchor": crop.anchor, "scale": crop.scale, "rotate": crop.rotate}
    model = {"backbone": "mobilenetv3_small_050", "weights": ""}
    recipe = build(Recipe, {"crop": about, "model": model, "data": {"affect": affect}})
    student = Student(recipe.model)
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the statistics of the one batch that follows
    portrait, rng = cv2.imread(str(demo_picture())), np.random.default_rng(seed)
    box = np.array([178, 63, 268, 176], np.float32)
    drawn = [augmented_crop(portrait, crop, box + rng.normal(0, 9), None, AugmentRecipe(), rng) for _ in range(64)]
    pictures = torch.from_numpy(np.stack(drawn))
    with torch.no_grad():
        student.train()(pictures)
        seen = student.eval()(pictures).embedding
        for layer, wanted, middle in (
            (student.expression, 2.0, 0.0), (student.log_temperature, 0.2, 0.7), (student.affect, 0.4, 0.2),
        ):  # fmt: skip
            weight = layer.weight[:, : seen.shape[1]]
            weight.normal_(0, wanted / seen.std(0).norm().item())
            layer.bias.copy_(middle - weight @ seen.mean(0))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"recipe": recipe.to_dict(), "ema": student.state_dict()}, path)
    return path
