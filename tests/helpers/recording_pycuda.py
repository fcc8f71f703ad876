"""A double of ``pycuda.driver`` on ``recording_cuda``'s machine, with the stack of contexts that each thread has."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
from recording_cuda import Double


def pycuda_driver(double: Double) -> dict[str, Any]:
    """What ``pycuda.driver`` holds on that machine."""
    own = threading.local()

    class Error(Exception):
        pass

    def stack() -> list[Any]:
        own.stack = getattr(own, "stack", [])
        return own.stack  # type: ignore[no-any-return]

    def call(name: str, *what: Any) -> None:
        double.record(name, *what)
        assert name in ("init", "Device", "push") or stack(), f"{name} without a context in this thread"
        if double.fail.get(name, 0) > 0:
            double.fail[name] -= 1
            raise Error(f"{name} failed: out of memory")

    class Context:
        def push(self) -> None:
            call("push")
            stack().append(self)

        @staticmethod
        def pop() -> None:
            call("pop")
            stack().pop()

        @staticmethod
        def get_device() -> Device:
            assert stack()
            return Device(0)

    class Device:
        def __init__(self, number: int):
            call("Device", number)

        def retain_primary_context(self) -> Context:
            double.record("retain_primary_context")
            return Context()

        def compute_capability(self) -> tuple[int, int]:
            return double.capability

        def get_attribute(self, which: str) -> int:
            assert which == "multiprocessors"
            return double.processors

    class Attribute:
        MULTIPROCESSOR_COUNT = "multiprocessors"

    class Stream:
        handle = 4242

        def __init__(self) -> None:
            call("Stream")

        def synchronize(self) -> None:
            call("synchronize")

        def __del__(self) -> None:
            double.record("Stream.__del__")

    class Memory:
        """A DeviceAllocation, or the base of a page-locked array."""

        def __init__(self, name: str, size: int):
            call(name, size)
            self._memory = (ctypes.c_ubyte * size)()
            self._address = ctypes.addressof(self._memory)
            double.held[self._address] = self._memory

        def __int__(self) -> int:
            return self._address

        @property
        def __array_interface__(self) -> dict[str, Any]:
            return {"shape": (len(self._memory),), "typestr": "|u1", "data": (self._address, False), "version": 3}

        def free(self) -> None:
            call("free")
            del double.held[self._address]  # a KeyError where it is freed twice

    def pagelocked_empty(shape: int, dtype: Any) -> Any:
        assert dtype == np.uint8
        return np.asarray(Memory("pagelocked_empty", shape))

    def copy(name: str, target: int, source: int, size: int, stream: Stream) -> None:
        assert isinstance(stream, Stream)
        call(name, size)
        for address in (target, source):
            assert size <= len(double.held[address]), "the copy is larger than the memory"
        double.do(lambda: ctypes.memmove(target, source, size))

    def copy_in(dest: int, src: Any, stream: Stream) -> None:
        copy("memcpy_htod_async", dest, src.ctypes.data, src.nbytes, stream)

    def copy_out(dest: Any, src: int, stream: Stream) -> None:
        copy("memcpy_dtoh_async", dest.ctypes.data, src, dest.nbytes, stream)

    double.context_is_current = lambda: bool(stack())
    types = {"Error": Error, "Context": Context, "Device": Device, "device_attribute": Attribute, "Stream": Stream}
    copies = {"memcpy_htod_async": copy_in, "memcpy_dtoh_async": copy_out}
    memory = {"mem_alloc": lambda size: Memory("mem_alloc", size), "pagelocked_empty": pagelocked_empty}
    return {"init": lambda: call("init"), **types, **copies, **memory}
