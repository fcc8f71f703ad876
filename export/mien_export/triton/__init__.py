"""Serving by NVIDIA Triton Inference Server."""

from typing import Literal

Backend = Literal["onnxruntime", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8"]
