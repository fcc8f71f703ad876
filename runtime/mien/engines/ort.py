"""ONNX Runtime, on the CPU or through one of its other execution providers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np

from mien.engines.ort_session import BATCHES, open_session, placed
from mien.engines.providers import PROVIDERS
from mien.per_process import PerProcess
from mien.types import Floats, Image
from mien.validation import check_threads


class OrtEngine:
    """One ONNX file in one session. Its ``run`` may be called from several threads at once."""

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None):
        """``threads``: for one operator; None leaves the number to ONNX Runtime.

        ``device``: one of ``PROVIDERS``. The first call on ort-tensorrt builds TensorRT engines for some minutes.
        """
        threads = check_threads(threads)
        self._path, self._device, self._threads = path, device, threads
        self._session = PerProcess(partial(open_session, path, device, threads, os.getpid()))
        self._most = BATCHES[-1] if device == "ort-tensorrt" else 1 if PROVIDERS[device].one_by_one else None
        self._turns = threading.Lock() if PROVIDERS[device].alone else nullcontext()
        self.name = f"onnxruntime/{device.removeprefix('ort-')}"
        self.placed = placed(self._session())
        """How many operators each provider took; empty if ONNX Runtime does not tell."""
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
        with self._turns:
            results = self._session().run(self._outputs, {self._input: batch})
        return dict(zip(self._outputs, results, strict=True))
