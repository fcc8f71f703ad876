"""Engines execute a model file. One library each, imported only when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from mien.errors import EngineUnavailable
from mien.faces import Floats, Image


class Engine(Protocol):
    """What every engine offers. ``name`` says what really executes, for example ``onnxruntime/cpu``."""

    name: str

    def run(self, batch: Image) -> Mapping[str, Floats]:
        """uint8 (N, H, W, 3) -> the model's outputs by name, each float32 with N first."""
        ...


DEVICES = ("auto", "cpu", "cuda", "tensorrt", "openvino")


def load_engine(path: Path, *, device: str = "auto", threads: int | None = None) -> Engine:
    """Open the model file ``path`` on ``device``; ``auto`` is CUDA where it can be had, else the CPU.

    Raises EngineUnavailable where the device or its library cannot be had: nothing falls back to another in silence.
    """
    if device not in DEVICES:
        raise EngineUnavailable(f"unknown device {device!r}; choose one of {', '.join(DEVICES)}")
    if device in ("tensorrt", "openvino"):
        raise EngineUnavailable(f"device {device!r} is not supported by this version; use 'cpu' or 'cuda'")
    try:
        from mien.engines.ort import OrtEngine
    except ImportError as error:
        raise EngineUnavailable(
            'no inference engine is installed; run: pip install "mien[cpu]" (or "mien[gpu]" for NVIDIA CUDA)'
        ) from error
    if device == "auto":
        try:
            return OrtEngine(path, device="cuda", threads=threads)
        except EngineUnavailable:  # the usual case: no GPU, or the CPU's build of onnxruntime
            device = "cpu"
    return OrtEngine(path, device=device, threads=threads)
