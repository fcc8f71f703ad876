"""A double of a machine with a GPU, and of its ``cuda.bindings.runtime``, that records what is asked of it.

GPU memory is plain memory, and its addresses are real ones.
"""

from __future__ import annotations

import ctypes
import enum
import threading
from collections import Counter
from typing import Any


class Double:
    """The machine: change what it is before it is used, look at ``calls`` and ``count`` after."""

    def __init__(self) -> None:
        self.capability, self.processors, self.version, self.dla_cores = (8, 7), 8, "10.9.0.34", 2
        self.kind = "uint8"
        self.input, self.shape = "crops", (-1, 6, 6, 3)
        self.outputs = {"expression": 8, "affect": 2, "embedding": 16}
        self.parse_errors: list[tuple[int, str, str, str]] = []
        self.build_error = ""
        self.placed_on_dla = 3
        self.fail: dict[str, int] = {}  # CUDA function -> how often it fails from now on
        self.calls: list[tuple[str, Any]] = []
        self.count: Counter[str] = Counter()
        self.held: dict[int, Any] = {}
        self.at_work = threading.Lock()

    def record(self, name: str, *what: Any) -> None:
        self.calls.append((name, what[0] if len(what) == 1 else what))
        self.count[name] += 1

    def what(self, name: str) -> list[Any]:
        return [what for called, what in self.calls if called == name]


def cuda_runtime(double: Double) -> dict[str, Any]:
    """What ``cuda.bindings.runtime`` holds on that machine."""

    class Error(enum.IntEnum):
        cudaSuccess = 0
        cudaErrorMemoryAllocation = 2
        cudaErrorNoDevice = 100

    class Kind(enum.IntEnum):
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    class Attribute(enum.IntEnum):
        cudaDevAttrMultiProcessorCount = 16
        cudaDevAttrComputeCapabilityMajor = 75
        cudaDevAttrComputeCapabilityMinor = 76

    class Stream:
        def __int__(self) -> int:
            return 4242

    def call(name: str, *what: Any) -> Any:
        double.record(name, *what)
        if double.fail.get(name, 0) > 0:
            double.fail[name] -= 1
            return Error.cudaErrorNoDevice if name == "cudaGetDevice" else Error.cudaErrorMemoryAllocation
        return Error.cudaSuccess

    def allocate(name: str, size: int) -> tuple[Any, ...]:
        status = call(name, size)
        if status != Error.cudaSuccess:
            return (status, None)
        memory = (ctypes.c_ubyte * size)()
        double.held[ctypes.addressof(memory)] = memory
        return (status, ctypes.addressof(memory))

    def release(name: str, address: int) -> tuple[Any, ...]:
        del double.held[address]  # a KeyError where it was never allocated, or is freed twice
        return (call(name, address),)

    def copy(target: int, source: int, size: int, kind: Kind, stream: Stream) -> tuple[Any, ...]:
        status = call("cudaMemcpyAsync", (size, kind.name, int(stream)))
        if status == Error.cudaSuccess:
            for address in (target, source):
                assert size <= len(double.held[address]), "the copy is larger than the memory"
            ctypes.memmove(target, source, size)
        return (status,)

    def attribute(which: Attribute, device: int) -> tuple[Any, ...]:
        major, minor = double.capability
        return Error.cudaSuccess, {75: major, 76: minor, 16: double.processors}[which]

    def named(name: str, answer: Any) -> Any:
        answer.__name__ = name
        return answer

    functions = {
        "cudaGetDevice": lambda: (call("cudaGetDevice"), 0),
        "cudaDeviceGetAttribute": attribute,
        "cudaGetErrorString": lambda status: (Error.cudaSuccess, {2: b"out of memory", 100: b"no device"}[status]),
        "cudaStreamCreate": lambda: (call("cudaStreamCreate"), Stream()),
        "cudaStreamSynchronize": lambda stream: (call("cudaStreamSynchronize"),),
        "cudaStreamDestroy": lambda stream: (call("cudaStreamDestroy"),),
        "cudaMalloc": lambda size: allocate("cudaMalloc", size),
        "cudaHostAlloc": lambda size, flags: allocate("cudaHostAlloc", size),
        "cudaFree": lambda address: release("cudaFree", address),
        "cudaFreeHost": lambda address: release("cudaFreeHost", address),
        "cudaMemcpyAsync": copy,
    }
    names = {"cudaError_t": Error, "cudaMemcpyKind": Kind, "cudaDeviceAttr": Attribute, "cudaHostAllocDefault": 0}
    return {**names, **{name: named(name, answer) for name, answer in functions.items()}}
