"""The execution providers of ONNX Runtime that mien knows by name, and which package brings each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Provider:
    """A provider of ONNX Runtime.

    ``name``: ONNX Runtime's own. ``remedy``: what to do where the installed ONNX Runtime lacks it. ``options``: of the
    provider. ``threads``: its option for the number of threads. ``plugin``: a module that brings it to an ONNX Runtime.
    ``unit``: the kind of hardware that a plugin is to run on. ``one_by_one``: it takes only graphs whose shapes are all
    known, so crops go singly. ``alone``: a session takes one call at a time. ``half``: float16 may make it faster.
    ``tried``: the project has run it.
    """

    name: str
    remedy: str
    options: Mapping[str, str] = field(default_factory=dict)
    threads: str = ""
    plugin: str = ""
    unit: str = ""
    one_by_one: bool = False
    alone: bool = False
    half: bool = True
    tried: bool = False


def _instead(package: str) -> str:
    return f"run: pip uninstall -y onnxruntime && pip install {package}"


_NVIDIA = f"for NVIDIA GPUs {_instead(chr(34) + 'mien[gpu]' + chr(34))}"

PROVIDERS = {
    "cpu": Provider("CPUExecutionProvider", 'run: pip install "mien[cpu]"', half=False, tried=True),
    # Newer NVIDIA GPUs would round fp32 to TF32.
    "cuda": Provider("CUDAExecutionProvider", _NVIDIA, {"use_tf32": "0"}),
    "ort-tensorrt": Provider("TensorrtExecutionProvider", _NVIDIA),
    # On CPUs with bfloat16 it would compute float32 models in that, whatever its option "precision" says.
    "ort-openvino": Provider(
        "OpenVINOExecutionProvider",
        "run: pip install onnxruntime onnxruntime-ep-openvino",
        {"load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}'},
        threads="num_of_threads",
        plugin="onnxruntime_ep_openvino",
        unit="CPU",
        half=False,
        tried=True,
    ),
    # https://onnxruntime.ai/docs/execution-providers/DirectML-ExecutionProvider.html
    "directml": Provider(
        "DmlExecutionProvider", f"on Windows {_instead('onnxruntime-directml')}", {"device_id": "0"}, alone=True
    ),
    # https://onnxruntime.ai/docs/execution-providers/CoreML-ExecutionProvider.html
    "coreml": Provider(
        "CoreMLExecutionProvider",
        "on macOS run: pip install onnxruntime; elsewhere use device 'cpu'",
        {"ModelFormat": "MLProgram"},
        one_by_one=True,
    ),
    "qnn": Provider(
        "QNNExecutionProvider",
        "on a Qualcomm processor run: pip install onnxruntime-qnn",
        {"backend_type": "htp"},
        plugin="onnxruntime_qnn",
        unit="NPU",
        one_by_one=True,
    ),
    # https://onnxruntime.ai/docs/execution-providers/Xnnpack-ExecutionProvider.html
    "xnnpack": Provider(
        "XnnpackExecutionProvider",
        "no package on PyPI has it: build onnxruntime with --use_xnnpack, or use device 'cpu'",
        threads="intra_op_num_threads",
        half=False,
    ),
    "migraphx": Provider("MIGraphXExecutionProvider", f"for AMD GPUs {_instead('onnxruntime-migraphx')}"),
    "rocm": Provider("ROCMExecutionProvider", f"for AMD GPUs {_instead('onnxruntime-rocm')}"),
}
"""By the name that ``device`` takes."""
