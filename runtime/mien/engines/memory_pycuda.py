"""Memory of a GPU through PyCUDA, which images for Jetsons often carry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pycuda.driver as driver
from numpy.typing import NDArray

from mien.errors import EngineUnavailable

_CONTEXT: list[Any] = []
_OPENING = threading.Lock()


def _context() -> Any:
    """The primary context of the first GPU, which TensorRT uses too. Retained once, and for the whole process."""
    with _OPENING:
        if not _CONTEXT:
            driver.init()
            _CONTEXT.append(driver.Device(0).retain_primary_context())
    return _CONTEXT[0]


@contextmanager
def _errors() -> Iterator[None]:
    """PyCUDA's errors as EngineUnavailable."""
    try:
        yield
    except driver.Error as error:
        raise EngineUnavailable(f"CUDA: {error}; check the GPU and its driver, or use device 'cpu'") from error


class PycudaMemory:
    """See ``mien.engines.device_memory.DeviceMemory``. PyCUDA keeps a stack of contexts for each thread, so each call
    pushes the primary context and pops it again: a context of the caller's own stays as it was."""

    name = "pycuda"

    def __init__(self) -> None:
        with self.active():
            self._stream: Any = driver.Stream()
        self.stream = int(self._stream.handle)
        self._held: dict[int, Any] = {}
        self._pinned: dict[int, Any] = {}

    @staticmethod
    def gpu() -> tuple[str, int]:
        with PycudaMemory.active():
            device = driver.Context.get_device()
            major, minor = device.compute_capability()
            return f"sm_{major}{minor}", int(device.get_attribute(driver.device_attribute.MULTIPROCESSOR_COUNT))

    @staticmethod
    @contextmanager
    def active() -> Iterator[None]:
        with _errors():
            _context().push()
            try:
                yield
            finally:
                driver.Context.pop()

    def allocate(self, size: int) -> int:
        with self.active():
            memory = driver.mem_alloc(size)
        self._held[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        with self.active():
            self._held.pop(address).free()

    def allocate_pinned(self, size: int) -> NDArray[np.uint8]:
        with self.active():
            memory: NDArray[np.uint8] = driver.pagelocked_empty(size, np.uint8)
        self._pinned[memory.ctypes.data] = memory.base
        return memory

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        with self.active():
            self._pinned.pop(memory.ctypes.data).free()

    def copy_in(self, address: int, memory: NDArray[np.uint8]) -> None:
        with self.active():
            driver.memcpy_htod_async(address, memory, self._stream)

    def copy_out(self, memory: NDArray[np.uint8], address: int) -> None:
        with self.active():
            driver.memcpy_dtoh_async(memory, address, self._stream)

    def synchronize(self) -> None:
        with self.active():
            self._stream.synchronize()

    def capture(self, work: Callable[[], None]) -> None:
        """PyCUDA knows no CUDA graphs."""
        return

    def close(self) -> None:
        with self.active():
            for memory in (*self._held.values(), *self._pinned.values()):
                memory.free()
            self._held, self._pinned = {}, {}
            del self._stream  # destroyed with its last reference, while its context is current
