"""A small graph of several inputs on ONNX Runtime, on one thread of the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import onnxruntime as ort

from mien.errors import MienError, ModelInvalid
from mien.paths import for_native
from mien.per_process import PerProcess
from mien.types import Floats

ort.disable_telemetry_events()


class OrtGraph:
    """One ONNX file in one session. Its ``run`` may be called from several threads at once."""

    def __init__(self, path: Path):
        self._session = PerProcess(partial(_session, path))
        self._outputs = [output.name for output in self._session().get_outputs()]

    def run(self, inputs: Mapping[str, Floats]) -> dict[str, Floats]:
        """Float32 arrays by name -> outputs by name."""
        return dict(zip(self._outputs, self._session().run(self._outputs, dict(inputs)), strict=True))


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # the graph is too small for more
    options.log_severity_level = 3
    try:
        with for_native(path) as name:
            return ort.InferenceSession(name, options, providers=["CPUExecutionProvider"])
    except MienError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions come from C++ and share no useful base class
        raise ModelInvalid(f"onnxruntime {ort.__version__} cannot load {path}: {error}") from error
