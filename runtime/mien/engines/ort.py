"""ONNX Runtime, on CPU or CUDA, or through its TensorRT provider."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from mien.errors import EngineUnavailable, MienError, ModelInvalid, OutputError
from mien.files import cache_folder, sha256
from mien.paths import for_native
from mien.per_process import NO_FORK, PerProcess
from mien.types import Floats, Image
from mien.validation import check_threads

# For programs that imported onnxruntime before mien; see mien/__init__.py.
ort.disable_telemetry_events()

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "ort-tensorrt": "TensorrtExecutionProvider",
}
BATCHES = (1, 4, 16)
"""Smallest, usual and largest batch that TensorRT prepares for; a larger one is split."""


class OrtEngine:
    """One ONNX file in one session. Its ``run`` may be called from several threads at once."""

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None):
        """``threads``: for one operator; None leaves the number to ONNX Runtime.

        ``device``: cpu, cuda, or ort-tensorrt, whose first call builds TensorRT engines for some minutes.
        """
        threads = check_threads(threads)
        self._path, self._device, self._threads = path, device, threads
        self._session = PerProcess(partial(_session, path, device, threads, os.getpid()))
        self._most = BATCHES[-1] if device == "ort-tensorrt" else None
        self.name = f"onnxruntime/{device.removeprefix('ort-')}"
        self._input = self._session().get_inputs()[0].name
        self._outputs = [output.name for output in self._session().get_outputs()]

    def run(self, batch: Image) -> dict[str, Floats]:
        """uint8 (N, H, W, 3) -> outputs by name."""
        if self._most is None or len(batch) <= self._most:
            return self._run(batch)
        parts = [self._run(batch[i : i + self._most]) for i in range(0, len(batch), self._most)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def __reduce__(self) -> tuple[Callable[..., OrtEngine], tuple[Path]]:
        return partial(OrtEngine, device=self._device, threads=self._threads), (self._path,)

    def __deepcopy__(self, _: object) -> OrtEngine:
        return self

    def _run(self, batch: Image) -> dict[str, Floats]:
        results = self._session().run(self._outputs, {self._input: batch})
        return dict(zip(self._outputs, results, strict=True))


def _session(path: Path, device: str, threads: int | None, first: int) -> ort.InferenceSession:
    """``first``: id of the process that opened the engine."""
    if device != "cpu" and first != os.getpid():
        raise EngineUnavailable(f"device {device!r} {NO_FORK}")
    provider = PROVIDERS[device]
    if provider not in ort.get_available_providers():
        raise EngineUnavailable(
            f"the installed onnxruntime {ort.__version__} has no {provider}; for NVIDIA GPUs run: "
            'pip uninstall -y onnxruntime && pip install "mien[gpu]"'
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    # Otherwise its threads spin after each call, on the cores that decode frames and search for faces meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # x86 without VNNI adds products of 8 bits in 16, which overflow: a quarter of the labels of an int8 model came out
    # wrong. There, and only there, this makes it exact, and slower than fp32.
    options.add_session_config_entry("session.x64quantprecision", "1")
    # Newer NVIDIA GPUs would round fp32 to TF32.
    providers: list[Any] = [(provider, {"use_tf32": "0"}) if device == "cuda" else provider]
    if device == "ort-tensorrt":
        # TensorRT must see the Q and DQ nodes unchanged; ONNX Runtime would fuse some of them first.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        providers = [(provider, tensorrt_options(path)), PROVIDERS["cuda"]]  # CUDA for nodes TensorRT does not know
    try:
        with for_native(path) as name:
            session = ort.InferenceSession(name, options, providers=providers)
    except MienError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions come from C++ and share no useful base class
        raise ModelInvalid(f"onnxruntime {ort.__version__} cannot load {path}: {error}") from error
    active = session.get_providers()[0]
    if active != provider:
        needs = "CUDA and cuDNN" if device == "cuda" else "that TensorRT, CUDA and cuDNN are installed"
        raise EngineUnavailable(f"asked for {provider}, but onnxruntime would run {active}; check {needs}")
    return session


def tensorrt_options(path: Path) -> dict[str, Any]:
    """Options of the TensorRT provider for ``path``, an ONNX file with a free batch size and a fixed crop size.

    They are documented at https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html.
    ``trt_fp16_enable`` and ``trt_int8_enable`` stay off, so that the types in the file decide: a float32 file is
    computed in float32, and the bundle's fp16 and int8 files in their own types.
    """
    with for_native(path) as name:
        crops = ort.InferenceSession(name, providers=[PROVIDERS["cpu"]]).get_inputs()[0]
    if not all(isinstance(size, int) for size in crops.shape[1:]):
        raise ModelInvalid(f"device 'ort-tensorrt' runs models with an input of one size, not {path}; use 'tensorrt'")
    least, usual, most = (f"{crops.name}:{'x'.join(map(str, (n, *crops.shape[1:])))}" for n in BATCHES)
    # A cached engine is named after the model's path, GPU and versions, not after its content: hence one folder each.
    cache = cache_folder() / "ort-tensorrt"
    engines = cache / f"{sha256(path)[:16]}-{ort.__version__}"
    try:
        engines.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {engines}: {error.strerror}; set MIEN_CACHE to a folder that can") from error
    return {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
        "trt_profile_min_shapes": least,
        "trt_profile_opt_shapes": usual,
        "trt_profile_max_shapes": most,
    }
