"""Batches through a TensorRT engine: an execution context, its memory on both sides, and CUDA graphs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorrt as trt
from numpy.typing import DTypeLike, NDArray

from mien.engines.device_memory import DeviceMemory
from mien.engines.trt_plan import LOG
from mien.errors import EngineUnavailable, InputError, MienError, ModelInvalid
from mien.types import Floats, Image

_LOGGER = logging.getLogger("mien")


class Buffer:
    """Memory for one tensor, on the GPU and pinned on the host. It grows for a larger batch and never shrinks."""

    def __init__(self, memory: DeviceMemory):
        self._memory = memory
        self.address = 0
        self._host: NDArray[np.uint8] = np.empty(0, np.uint8)

    def grow(self, size: int) -> bool:
        """Grow to at least ``size`` bytes. Returns whether the addresses changed."""
        if size <= self._host.nbytes:
            return False
        self.free()
        self.address = self._memory.allocate(size)
        self._host = self._memory.allocate_pinned(size)
        return True

    def free(self) -> None:
        if self._host.nbytes:
            self._memory.free_pinned(self._host)
            self._host = np.empty(0, np.uint8)
        if self.address:
            self._memory.free(self.address)
            self.address = 0

    def view(self, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """The host memory as an array, without a copy."""
        return self._host[: int(np.prod(shape)) * np.dtype(kind).itemsize].view(kind).reshape(shape)

    def copy_in(self, size: int) -> None:
        self._memory.copy_in(self.address, self._host[:size])

    def copy_out(self, size: int) -> None:
        self._memory.copy_out(self._host[:size], self.address)


class Execution:
    """One execution context with memory of its own. It takes one batch at a time."""

    def __init__(self, engine: trt.ICudaEngine, memory: DeviceMemory, source: str, targets: Sequence[str]):
        """``source``: name of the uint8 input. ``targets``: names of the float32 outputs. Raises EngineUnavailable if
        there is no memory for a context."""
        context = engine.create_execution_context()
        if context is None:
            raise EngineUnavailable(f"no GPU memory to run the plan: {LOG.take()}; end other programs, or use 'cpu'")
        self._context: Any = context
        self._memory = memory
        self._source, self._targets = source, targets
        self._buffers = {name: Buffer(memory) for name in (source, *targets)}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def run(self, batch: Image) -> dict[str, Floats]:
        """uint8 (N, H, W, 3) -> outputs by name, each float32 and the caller's own."""
        self._prepare(batch)
        self._enqueue()
        return self._results()

    def free(self) -> None:
        """Give the memory back. Nothing runs here afterwards."""
        for buffer in self._buffers.values():
            buffer.free()

    def _prepare(self, batch: Image) -> None:
        """Fit context and memory to the batch, and lay it into pinned memory."""
        if not self._context.set_input_shape(self._source, batch.shape):
            raise InputError(f"the plan does not take a batch of {batch.shape}: {LOG.take()}")
        self._reserve(self._source, batch.nbytes)
        np.copyto(self._buffers[self._source].view(batch.shape, np.uint8), batch)
        self._shapes = {name: tuple(self._context.get_tensor_shape(name)) for name in self._targets}
        for name, shape in self._shapes.items():
            self._reserve(name, 4 * int(np.prod(shape)))
        self._shapes[self._source] = batch.shape

    def _enqueue(self) -> None:
        """Put the copies and the work between them on the stream."""
        self._buffers[self._source].copy_in(int(np.prod(self._shapes[self._source])))
        if not self._context.execute_async_v3(self._memory.stream):
            self._memory.synchronize()
            raise EngineUnavailable(f"TensorRT could not run: {LOG.take()}; try again, or use device 'cpu'")
        for name in self._targets:
            self._buffers[name].copy_out(4 * int(np.prod(self._shapes[name])))

    def _results(self) -> dict[str, Floats]:
        """Wait for the work. Copies, because the next batch overwrites the pinned memory."""
        self._memory.synchronize()
        return {name: self._buffers[name].view(self._shapes[name], np.float32).copy() for name in self._targets}

    def _reserve(self, name: str, size: int) -> None:
        buffer = self._buffers[name]
        if buffer.grow(size) and not self._context.set_tensor_address(name, buffer.address):
            raise ModelInvalid(f"TensorRT refuses the memory of {name}: {LOG.take()}")


class GraphExecution(Execution):
    """For batches of one shape. From the second one on they run as a CUDA graph, in one call, if a graph can be made
    and gives the same outputs.

    A graph holds the addresses of its memory and the state of its context, so this context never sees another shape:
    https://docs.nvidia.com/deeplearning/tensorrt/latest/performance/best-practices.html#cuda-graphs
    """

    _launch: Callable[[], None] | None = None
    possible = True
    """False once it turned out that there can be no graph."""

    def run(self, batch: Image) -> dict[str, Floats]:
        if self._launch is not None:
            np.copyto(self._buffers[self._source].view(batch.shape, np.uint8), batch)
            self._launch()
            return self._results()
        outputs = super().run(batch)  # TensorRT wants to have run once before it is captured
        self._launch = self._graph(outputs)
        self.possible = self._launch is not None
        return outputs

    def _graph(self, expected: dict[str, Floats]) -> Callable[[], None] | None:
        """A graph of what just gave ``expected``; None if there can be none."""
        try:
            launch = self._memory.capture(self._enqueue)
            if launch is None:
                return None
            launch()
            results = self._results()
        except MienError as error:
            LOG.take()
            _LOGGER.info("TensorRT runs without CUDA graphs: %s", error)
            return None
        if all(np.array_equal(results[name], expected[name]) for name in expected):
            return launch
        _LOGGER.warning("a CUDA graph gives other outputs than the plan it was made of, so it is not used; report this")
        return None
