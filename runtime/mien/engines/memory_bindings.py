"""Memory of a GPU through NVIDIA's own bindings, which come as wheels for x86 and ARM."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from cuda.bindings import runtime as cudart
from numpy.typing import NDArray

from mien.errors import EngineUnavailable

TO_GPU = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
TO_HOST = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost


def cuda(call: Callable[..., Any], *arguments: object) -> Any:
    """Call a function of the CUDA runtime. Raises EngineUnavailable with CUDA's message if it fails."""
    status, *values = call(*arguments)
    if status != cudart.cudaError_t.cudaSuccess:
        words = cudart.cudaGetErrorString(status)[1].decode()
        raise EngineUnavailable(f"CUDA: {words} ({call.__name__}); check the GPU and its driver, or use device 'cpu'")
    return values[0] if values else None


class BindingsMemory:
    """See ``mien.engines.device_memory.DeviceMemory``. The CUDA runtime shares TensorRT's context in every thread."""

    name = "cuda-bindings"

    def __init__(self) -> None:
        # Work of other libraries on CUDA's default stream would otherwise end a capture.
        self._stream = cuda(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking)
        self.stream = int(self._stream)
        self._pinned: dict[int, int] = {}
        self._held: set[int] = set()
        self._graphs: list[Any] = []

    @staticmethod
    def gpu() -> tuple[str, int]:
        device, of = cuda(cudart.cudaGetDevice), cudart.cudaDeviceAttr
        major = cuda(cudart.cudaDeviceGetAttribute, of.cudaDevAttrComputeCapabilityMajor, device)
        minor = cuda(cudart.cudaDeviceGetAttribute, of.cudaDevAttrComputeCapabilityMinor, device)
        processors = cuda(cudart.cudaDeviceGetAttribute, of.cudaDevAttrMultiProcessorCount, device)
        return f"sm_{major}{minor}", int(processors)

    @staticmethod
    def active() -> AbstractContextManager[None]:
        return nullcontext()

    def allocate(self, size: int) -> int:
        address = int(cuda(cudart.cudaMalloc, size))
        self._held.add(address)
        return address

    def free(self, address: int) -> None:
        self._held.remove(address)
        cudart.cudaFree(address)

    def allocate_pinned(self, size: int) -> NDArray[np.uint8]:
        address = int(cuda(cudart.cudaHostAlloc, size, cudart.cudaHostAllocDefault))
        memory: NDArray[np.uint8] = np.ctypeslib.as_array((ctypes.c_ubyte * size).from_address(address))
        self._pinned[memory.ctypes.data] = address
        return memory

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        cudart.cudaFreeHost(self._pinned.pop(memory.ctypes.data))

    def copy_in(self, address: int, memory: NDArray[np.uint8]) -> None:
        cuda(cudart.cudaMemcpyAsync, address, memory.ctypes.data, memory.nbytes, TO_GPU, self._stream)

    def copy_out(self, memory: NDArray[np.uint8], address: int) -> None:
        cuda(cudart.cudaMemcpyAsync, memory.ctypes.data, address, memory.nbytes, TO_HOST, self._stream)

    def synchronize(self) -> None:
        cuda(cudart.cudaStreamSynchronize, self._stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        # Only this thread is kept from what a capture forbids, such as allocating memory.
        cuda(cudart.cudaStreamBeginCapture, self._stream, cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            work()
        except BaseException:
            cudart.cudaStreamEndCapture(self._stream)  # the stream takes no other work before
            raise
        graph = cuda(cudart.cudaStreamEndCapture, self._stream)
        try:
            made = cuda(cudart.cudaGraphInstantiate, graph, 0)
        finally:
            cudart.cudaGraphDestroy(graph)
        self._graphs.append(made)
        return lambda: cuda(cudart.cudaGraphLaunch, made, self._stream)

    def close(self) -> None:
        for graph in self._graphs:
            cudart.cudaGraphExecDestroy(graph)
        for address in self._held:
            cudart.cudaFree(address)
        for address in self._pinned.values():
            cudart.cudaFreeHost(address)
        self._graphs, self._held, self._pinned = [], set(), {}
        cudart.cudaStreamDestroy(self._stream)
