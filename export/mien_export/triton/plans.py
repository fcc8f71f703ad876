"""The script that builds TensorRT plans where they are served: a plan fits one GPU and one TensorRT only."""

from __future__ import annotations

from mien_export.triton.config import DETECTOR, MOST_CROPS, STUDENT, WARM_UP_PICTURE
from mien_export.triton.tensors import Tensor

SCRIPT = "build_plans.sh"
LARGEST_PICTURE = (1920, 1920)
"""Height and width beyond which a frame is refused: only searches for small faces (``min_face``) need so many px."""


def plan_script(image: Tensor, crops: Tensor) -> str:
    """A shell script that calls trtexec for both models. ``image`` and ``crops``: their inputs."""
    pictures: list[tuple[int, ...]] = [(1, *sides, 3) for sides in ((32, 32), WARM_UP_PICTURE, LARGEST_PICTURE)]
    batches: list[tuple[int, ...]] = [(count, *crops.dims[1:]) for count in (1, 4, MOST_CROPS)]
    return f"""\
#!/bin/sh
# Builds the TensorRT plans beside the ONNX files. Run it on the machine that serves them, in NVIDIA's container
# nvcr.io/nvidia/tensorrt of the same release as the Triton container. TRTEXEC names the program if it is not in PATH.
set -eu
cd "$(dirname "$0")"

{_call(DETECTOR, image.name, pictures)}
{_call(STUDENT, crops.name, batches)}"""


def _call(model: str, name: str, shapes: list[tuple[int, ...]]) -> str:
    least, usual, most = (f"{name}:{'x'.join(map(str, shape))}" for shape in shapes)
    # The ONNX file alone decides between fp32, fp16 and int8, as in mien's own plans.
    return f"""\
"${{TRTEXEC:-trtexec}}" --onnx={model}/1/model.onnx --saveEngine={model}/1/model.plan --stronglyTyped --noTF32 \\
    --minShapes={least} --optShapes={usual} --maxShapes={most}
"""
