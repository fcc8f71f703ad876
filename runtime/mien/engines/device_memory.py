"""Memory of a GPU, and one stream of work on it: what the TensorRT engine needs of CUDA.

Two libraries give it: NVIDIA's ``cuda.bindings``, and PyCUDA where they are not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class DeviceMemory(Protocol):
    """One stream on CUDA's first GPU, and memory that belongs to it.

    Copies and work on the stream are asynchronous: ``synchronize`` waits for them. All methods raise EngineUnavailable
    with CUDA's message if they fail.
    """

    name: str
    """The library: ``cuda-bindings`` or ``pycuda``."""
    stream: int
    """The address of the stream, as TensorRT takes it."""

    @staticmethod
    def gpu() -> tuple[str, int]:
        """The architecture of the GPU, such as ``sm_87``, and its number of multiprocessors."""
        ...

    @staticmethod
    def active() -> AbstractContextManager[None]:
        """Within it, the context of the memory is current in the calling thread, for TensorRT to use."""
        ...

    def allocate(self, size: int) -> int:
        """The address of ``size`` new bytes on the GPU."""
        ...

    def free(self, address: int) -> None:
        """Give back what ``allocate`` returned."""
        ...

    def allocate_pinned(self, size: int) -> NDArray[np.uint8]:
        """(size,) bytes of the host, which the GPU can reach without a copy by the driver."""
        ...

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        """Give back what ``allocate_pinned`` returned; it must not be touched afterwards."""
        ...

    def copy_in(self, address: int, memory: NDArray[np.uint8]) -> None:
        """Copy pinned memory, or the beginning of it, to the GPU."""
        ...

    def copy_out(self, memory: NDArray[np.uint8], address: int) -> None:
        """Copy from the GPU to pinned memory, or the beginning of it."""
        ...

    def synchronize(self) -> None:
        """Wait until all work on the stream is done."""
        ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """Record what ``work`` puts on the stream, as a CUDA graph, without running it.

        Returns:
            What puts the same work on the stream again, in one call; None if the library has no CUDA graphs.
        """
        ...

    def close(self) -> None:
        """Give back the stream and all that is still allocated."""
        ...


def memory_type() -> type[DeviceMemory]:
    """The implementation whose library is installed: ``cuda.bindings`` before PyCUDA. Raises ModuleNotFoundError if
    neither is."""
    try:
        from mien.engines.memory_bindings import BindingsMemory

        return BindingsMemory
    except ModuleNotFoundError as missing:
        try:
            from mien.engines.memory_pycuda import PycudaMemory

            return PycudaMemory
        except ModuleNotFoundError:
            raise missing from None
