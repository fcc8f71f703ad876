"""ONNX Runtime, on CPU or CUDA."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

from mien.errors import EngineUnavailable, InputError, ModelInvalid
from mien.faces import Floats, Image

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OrtEngine:
    """One ONNX file in one session. Its ``run`` may be called from several threads at once."""

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None):
        """``threads``: for one operator; None lets ONNX Runtime use every physical core."""
        provider = PROVIDERS[device]
        if provider not in ort.get_available_providers():
            raise EngineUnavailable(
                f"the installed onnxruntime {ort.__version__} has no {provider}; for NVIDIA GPUs run: "
                'pip uninstall -y onnxruntime && pip install "mien[gpu]"'
            )
        if threads is not None and threads < 1:
            raise InputError(f"threads is {threads}; use 1 or more, or leave it out for all cores")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # its exceptions are generated from C++ and share no useful base class
            raise ModelInvalid(f"onnxruntime {ort.__version__} cannot load {path}: {error}") from error
        active = self._session.get_providers()[0]
        if active != provider:
            raise EngineUnavailable(f"asked for {provider}, but onnxruntime would run {active}; check CUDA and cuDNN")
        self.name = f"onnxruntime/{device}"
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, batch: Image) -> dict[str, Floats]:
        """uint8 (N, H, W, 3) -> outputs by name."""
        results = self._session.run(self._outputs, {self._input: batch})
        return dict(zip(self._outputs, results, strict=True))
