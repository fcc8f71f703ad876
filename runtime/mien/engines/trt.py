"""TensorRT 10 and 11, on NVIDIA GPUs and on the deep-learning accelerators (DLA) of Jetsons."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorrt as trt
from cuda.bindings import runtime as cudart
from numpy.typing import DTypeLike, NDArray

from mien.engines.trt_plan import LOG, core_of, cuda, load_plan
from mien.errors import EngineUnavailable, InputError, ModelInvalid
from mien.per_process import NO_FORK
from mien.types import Floats, Image

TO_GPU = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
TO_HOST = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost


class Buffer:
    """Memory for one tensor, on the GPU and pinned on the host. It grows for a larger batch and never shrinks."""

    def __init__(self) -> None:
        self.size = self.gpu = self.host = 0

    def grow(self, size: int) -> bool:
        """Grow to at least ``size`` bytes. Returns whether the addresses changed."""
        if size <= self.size:
            return False
        self.free()
        self.gpu = cuda(cudart.cudaMalloc, size)
        self.host = cuda(cudart.cudaHostAlloc, size, cudart.cudaHostAllocDefault)
        self.size = size
        return True

    def view(self, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """The host memory as an array, without a copy."""
        count = int(np.prod(shape)) * np.dtype(kind).itemsize
        memory = (ctypes.c_ubyte * count).from_address(self.host)
        return np.ctypeslib.as_array(memory).view(kind).reshape(shape)

    def free(self) -> None:
        if self.gpu:
            cudart.cudaFree(self.gpu)
        if self.host:
            cudart.cudaFreeHost(self.host)
        self.size = self.gpu = self.host = 0


class TrtEngine:
    """One plan with one execution context. Its ``run`` may be called from several threads: they take turns."""

    def __init__(self, path: Path, *, device: str = "tensorrt", threads: int | None = None):
        """``path``: a plan that ``trt_plan.plan_for`` returned on this machine. ``device``: tensorrt, dla:0 or dla:1.

        ``threads`` exists so that all engines open alike; a GPU does not use it. Raises EngineUnavailable for a plan of
        another GPU, TensorRT or core, or without a GPU; ModelInvalid for a file that is not such a plan.
        """
        core, self._process = core_of(device), os.getpid()
        self._path, self._device = path, device
        self._runtime, self._engine, key = load_plan(path, core)
        version = ".".join(key.tensorrt.split(".")[:2])
        self.name = f"tensorrt/{version}/{key.gpu}" + ("" if core is None else f"/{device}")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self._outputs = [name for name in names if name not in inputs]
        kinds = [self._engine.get_tensor_dtype(name) for name in (*inputs, *self._outputs)]
        if len(inputs) != 1 or kinds[0] != trt.uint8 or any(kind != trt.float32 for kind in kinds[1:]):
            raise ModelInvalid(f"{path} does not take one uint8 input and give float32 outputs; export the model again")
        self._input = inputs[0]
        self._least, _, self._most = (tuple(s) for s in self._engine.get_tensor_profile_shape(self._input, 0))
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineUnavailable(f"no GPU memory to run {path}: {LOG.take()}; end other programs, or use 'cpu'")
        self._context: Any = context
        self._stream = cuda(cudart.cudaStreamCreate)
        self._buffers = {name: Buffer() for name in names}
        self._lock = threading.Lock()
        weakref.finalize(self, _release, self._buffers, self._stream)

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
        with self._lock:
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
        context, source = self._context, self._buffers[self._input]
        if not context.set_input_shape(self._input, batch.shape):
            raise InputError(f"the plan does not take a batch of {batch.shape}: {LOG.take()}")
        self._reserve(self._input, batch.nbytes)
        np.copyto(source.view(batch.shape, np.uint8), batch)
        cuda(cudart.cudaMemcpyAsync, source.gpu, source.host, batch.nbytes, TO_GPU, self._stream)
        shapes = {name: tuple(context.get_tensor_shape(name)) for name in self._outputs}
        sizes = {name: 4 * int(np.prod(shape)) for name, shape in shapes.items()}
        for name, size in sizes.items():
            self._reserve(name, size)
        if not context.execute_async_v3(int(self._stream)):
            cuda(cudart.cudaStreamSynchronize, self._stream)
            raise EngineUnavailable(f"TensorRT could not run: {LOG.take()}; try again, or use device 'cpu'")
        for name, size in sizes.items():
            target = self._buffers[name]
            cuda(cudart.cudaMemcpyAsync, target.host, target.gpu, size, TO_HOST, self._stream)
        cuda(cudart.cudaStreamSynchronize, self._stream)
        # Copies, because the next batch overwrites the pinned memory.
        return {name: self._buffers[name].view(shape, np.float32).copy() for name, shape in shapes.items()}

    def _reserve(self, name: str, size: int) -> None:
        buffer = self._buffers[name]
        if buffer.grow(size) and not self._context.set_tensor_address(name, buffer.gpu):
            raise ModelInvalid(f"TensorRT refuses the memory of {name}: {LOG.take()}")


def _release(buffers: dict[str, Buffer], stream: Any) -> None:
    for buffer in buffers.values():
        buffer.free()
    cudart.cudaStreamDestroy(stream)
