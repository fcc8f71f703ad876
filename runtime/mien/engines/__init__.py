"""Engines execute a model file, each with one library, which is imported only when needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from mien.engines.cores import model_threads
from mien.engines.providers import PROVIDERS
from mien.errors import EngineUnavailable, MienError
from mien.packages import broken
from mien.types import Floats, Image


class Engine(Protocol):
    """The interface of every engine. ``name`` says what actually executes, for example ``onnxruntime/cpu``."""

    name: str

    def run(self, batch: Image) -> Mapping[str, Floats]:
        """uint8 (N, H, W, 3) -> the model's outputs by name, each float32 with N first."""
        ...


DEVICES = (*PROVIDERS, "openvino", "tensorrt", "dla:0", "dla:1")
"""The providers of ONNX Runtime, OpenVINO, and TensorRT on GPUs and on a Jetson's accelerators."""
PRECISIONS = ("fp32", "fp16", "int8")
LIBRARIES = {**dict.fromkeys(PROVIDERS, "onnxruntime"), "openvino": "openvino"}
OTHERS = ("cuda", "cuda.bindings")
"""Modules that an engine needs besides its library."""
EXTRAS = {"cpu": "cpu", "openvino": "openvino", "tensorrt": "tensorrt", "dla:0": "tensorrt", "dla:1": "tensorrt"}


def has_library(device: str) -> bool:
    """Whether the library of ``device`` is installed, without importing it. The device itself may still be missing."""
    try:
        return find_spec(LIBRARIES.get(device, "tensorrt")) is not None
    except ValueError:  # a module without a spec, or blocked
        return False


def load_engine(path: Path, *, device: str = "cpu", threads: int | None = None, precision: str = "fp32") -> Engine:
    """Open the model file ``path``, which has ``precision``, on ``device``. TensorRT first builds a plan, which takes
    minutes, unless it is cached. ``threads``: None for all cores but one.

    Raises EngineUnavailable if the device or its library is missing: nothing falls back silently to another device.
    """
    if device not in DEVICES:
        raise EngineUnavailable(f"unknown device {device!r}; choose one of auto, {', '.join(DEVICES)}")
    threads = model_threads() if threads is None else threads
    try:
        if device == "openvino":
            from mien.engines.ov import OvEngine

            return OvEngine(path, threads=threads)
        if device == "tensorrt" or device.startswith("dla:"):
            from mien.engines.trt import TrtEngine
            from mien.engines.trt_plan import core_of, plan_for

            plan = path if path.suffix == ".plan" else plan_for(path, precision=precision, dla=core_of(device))
            return TrtEngine(plan, device=device, threads=threads)
        from mien.engines.ort import OrtEngine

        return OrtEngine(path, device=device, threads=threads)
    except MienError:
        raise
    except (ImportError, AttributeError) as error:
        library = LIBRARIES.get(device, "tensorrt")
        if has_library(device) and getattr(error, "name", "") not in OTHERS:  # the library is incomplete
            raise EngineUnavailable(broken(library, f"{type(error).__name__}: {error}")) from error
        if device in PROVIDERS:
            remedy = PROVIDERS[device].remedy
        else:
            remedy = f'run: pip install "mien[{EXTRAS[device]}]"'
            # The extra would install another TensorRT over JetPack's.
            remedy += '; on a Jetson: pip install "mien[jetson]"' if EXTRAS[device] == "tensorrt" else ""
        raise EngineUnavailable(f"the engine of device {device!r} is not installed ({error}); {remedy}") from error
