"""OpenVINO, on the CPU: reads ONNX files and OpenVINO's own IR (.xml with a .bin beside it)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

# Importing OpenVINO sends a usage event to Google Analytics; without this package it has nothing to send with.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino as ov  # noqa: E402

from mien.errors import ModelInvalid  # noqa: E402
from mien.per_process import PerProcess  # noqa: E402
from mien.types import Floats, Image  # noqa: E402
from mien.validation import check_threads  # noqa: E402

_Compiled: TypeAlias = "tuple[ov.CompiledModel, list[tuple[int, str]]]"


_CORES: list[PerProcess[ov.Core]] = []


def _core() -> ov.Core:
    """One core for the process, never released. Each core installs a signal stack in the thread that creates it. If two
    are not destroyed in reverse order, a freed stack stays in use, and the next signal, such as Ctrl-C, crashes."""
    if not _CORES:
        _CORES.append(PerProcess(ov.Core))
    return _CORES[0]()


class OvEngine:
    """One model in one compiled form. Its ``run`` may be called from several threads at once."""

    def __init__(self, path: Path, *, threads: int | None = None):
        """``threads``: for one inference; None leaves the number to OpenVINO."""
        threads = check_threads(threads)
        self._path, self._threads = path, threads
        self._compiled = PerProcess(partial(_compile, path, threads))
        self.name = "openvino/cpu"
        self._own = threading.local()

    def run(self, batch: Image) -> dict[str, Floats]:
        """uint8 (N, H, W, 3) -> outputs by name."""
        model, outputs = self._compiled()
        # A request holds the tensors of one inference, so each thread needs its own.
        own, request = getattr(self._own, "request", (None, None))
        if request is None or own is not model:  # after a fork, the request belongs to the parent's model
            request = model.create_infer_request()
            self._own.request = model, request
        # OpenVINO requires shared memory to be writable, although it does not write to it; a caller's frame may not be.
        request.infer([ov.Tensor(np.require(batch, requirements=["C", "W"]), shared_memory=True)])
        return {name: np.array(request.get_output_tensor(i).data) for i, name in outputs}

    def __reduce__(self) -> tuple[Callable[..., OvEngine], tuple[Path]]:
        return partial(OvEngine, threads=self._threads), (self._path,)

    def __deepcopy__(self, _: object) -> OvEngine:
        return self


def _compile(path: Path, threads: int | None) -> _Compiled:
    """The compiled model, and the index and name of each output."""
    # Lowest latency for one crop, in the precision of the file: on CPUs with bfloat16 OpenVINO would otherwise compute
    # float32 models in that.
    config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        config["INFERENCE_NUM_THREADS"] = threads
    try:
        core = _core()
        model = core.read_model(path)
        # Names from the file: a compiled output also carries the names of tensors fused into it, in any order.
        outputs = [(i, output.get_any_name()) for i, output in enumerate(model.outputs)]
        return core.compile_model(model, "CPU", config), outputs
    except RuntimeError as error:
        raise ModelInvalid(f"openvino {ov.__version__} cannot load {path}: {error}") from error
