"""TensorRT 10 and 11, on NVIDIA GPUs and on the deep-learning accelerators (DLA) of Jetsons."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tensorrt as trt

from mien.engines.device_memory import memory_type
from mien.engines.trt_execution import Execution, GraphExecution
from mien.engines.trt_plan import core_of, load_plan
from mien.errors import EngineUnavailable, InputError, ModelInvalid
from mien.per_process import NO_FORK
from mien.types import Floats, Image

GRAPHS = 4
"""Largest batch that gets a context and a CUDA graph of its own: more faces than this are seldom in one picture, and a
context takes memory."""


class TrtEngine:
    """One plan with its execution contexts. Its ``run`` may be called from several threads: they take turns."""

    def __init__(self, path: Path, *, device: str = "tensorrt", threads: int | None = None):
        """``path``: a plan that ``trt_plan.plan_for`` returned on this machine. ``device``: tensorrt, dla:0 or dla:1.

        ``threads`` exists so that all engines open alike; a GPU does not use it. Raises EngineUnavailable for a plan of
        another GPU, TensorRT or core, or without a GPU; ModelInvalid for a file that is not such a plan.
        """
        core, self._process = core_of(device), os.getpid()
        self._path, self._device = path, device
        kind = memory_type()
        with kind.active():
            self._runtime, self._engine, key = load_plan(path, core)
        version = ".".join(key.tensorrt.split(".")[:2])
        self.name = f"tensorrt/{version}/{key.gpu}" + ("" if core is None else f"/{device}") + f"/{kind.name}"
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self._outputs = [name for name in names if name not in inputs]
        kinds = [self._engine.get_tensor_dtype(name) for name in (*inputs, *self._outputs)]
        if len(inputs) != 1 or kinds[0] != trt.uint8 or any(kind != trt.float32 for kind in kinds[1:]):
            raise ModelInvalid(f"{path} does not take one uint8 input and give float32 outputs; export the model again")
        self._input = inputs[0]
        self._least, _, self._most = (tuple(s) for s in self._engine.get_tensor_profile_shape(self._input, 0))
        # Not for pictures of any size, each of which would want its own graph, nor for a DLA, which is not the GPU.
        self._largest_graph = GRAPHS if core is None and self._least[1:] == self._most[1:] else 0
        self._memory = kind()
        weakref.finalize(self, self._memory.close)
        with kind.active():
            self._execution = Execution(self._engine, self._memory, self._input, self._outputs)
        self._graphs: dict[int, GraphExecution] = {}
        self._lock = threading.Lock()

    def run(self, batch: Image) -> dict[str, Floats]:
        """uint8 (N, H, W, 3) -> outputs by name, each float32. A batch larger than the plan takes is split.

        Raises InputError for a type or size that the plan does not take, EngineUnavailable if CUDA fails.
        """
        if self._process != os.getpid():
            raise EngineUnavailable(f"TensorRT {NO_FORK}")
        batch = np.asarray(batch)
        sides = batch.shape[1:]
        fits = batch.ndim == 4 and all(self._least[i + 1] <= n <= self._most[i + 1] for i, n in enumerate(sides))
        if batch.dtype != np.uint8 or not fits or len(batch) == 0:
            low, high = ("x".join(map(str, shape[1:])) for shape in (self._least, self._most))
            wanted = low if low == high else f"{low} to {high}"
            raise InputError(f"the batch is {batch.dtype} {batch.shape}; the plan takes uint8, one or more of {wanted}")
        with self._lock, self._memory.active():
            parts = [self._turn(batch[i : i + self._most[0]]) for i in range(0, len(batch), self._most[0])]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def __reduce__(self) -> tuple[Callable[..., TrtEngine], tuple[Path]]:
        return partial(TrtEngine, device=self._device), (self._path,)

    def __deepcopy__(self, _: object) -> TrtEngine:
        return self

    def _turn(self, batch: Image) -> dict[str, Floats]:
        """Run at most as many crops as the plan takes. The caller holds the lock."""
        count = len(batch)
        if count > self._largest_graph:
            return self._execution.run(batch)
        if count not in self._graphs:
            self._graphs[count] = GraphExecution(self._engine, self._memory, self._input, self._outputs)
        outputs = self._graphs[count].run(batch)
        if not self._graphs[count].possible:
            self._largest_graph = 0
            while self._graphs:
                self._graphs.popitem()[1].free()
        return outputs
