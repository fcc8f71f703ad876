"""A double of a machine with a GPU, and of its ``cuda.bindings.runtime``, that records what is asked of it.

GPU memory is plain memory, and its addresses are real ones.
"""

from __future__ import annotations

import ctypes
import enum
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

FORBIDDEN = ("cudaMalloc", "cudaHostAlloc", "cudaFree", "cudaFreeHost", "cudaStreamSynchronize")
"""Calls that a capture does not allow."""
WORDS = {2: b"out of memory", 100: b"no device", 900: b"operation not permitted when stream is capturing"}


class Double:
    """The machine: change what it is before it is used, look at ``calls`` and ``count`` after."""

    def __init__(self) -> None:
        self.capability, self.processors, self.version, self.dla_cores = (8, 7), 8, "10.9.0.34", 2
        self.library = "cuda-bindings"  # or pycuda, which is there in its place
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
        self.capturing: list[Callable[[], None]] | None = None  # what a stream that is captured was given
        self.context_is_current: Callable[[], bool] = lambda: True

    def do(self, work: Callable[[], None]) -> None:
        """Work on the stream: done at once, or recorded."""
        assert self.context_is_current(), "no context is current in this thread"
        if self.capturing is None:
            work()
        else:
            self.capturing.append(work)

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
        cudaErrorStreamCaptureUnsupported = 900

    class Kind(enum.IntEnum):
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    class Mode(enum.IntEnum):
        cudaStreamCaptureModeThreadLocal = 1

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
        if double.capturing is not None and name in FORBIDDEN:
            return Error.cudaErrorStreamCaptureUnsupported
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
            double.do(lambda: (double.held[target], double.held[source], ctypes.memmove(target, source, size)))
        return (status,)

    def begin(stream: Stream, mode: Mode) -> tuple[Any, ...]:
        status = call("cudaStreamBeginCapture", mode.name)
        double.capturing = [] if status == Error.cudaSuccess else None
        return (status,)

    def end(stream: Stream) -> tuple[Any, ...]:
        status, graph = call("cudaStreamEndCapture"), double.capturing
        double.capturing = None
        return (status, graph)

    def launch(graph: list[Callable[[], None]], stream: Stream) -> tuple[Any, ...]:
        status = call("cudaGraphLaunch")
        for work in graph:
            work()
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
        "cudaGetErrorString": lambda status: (Error.cudaSuccess, WORDS[status]),
        "cudaStreamCreateWithFlags": lambda flags: (call("cudaStreamCreateWithFlags", flags), Stream()),
        "cudaStreamSynchronize": lambda stream: (call("cudaStreamSynchronize"),),
        "cudaStreamDestroy": lambda stream: (call("cudaStreamDestroy"),),
        "cudaMalloc": lambda size: allocate("cudaMalloc", size),
        "cudaHostAlloc": lambda size, flags: allocate("cudaHostAlloc", size),
        "cudaFree": lambda address: release("cudaFree", address),
        "cudaFreeHost": lambda address: release("cudaFreeHost", address),
        "cudaMemcpyAsync": copy,
        "cudaStreamBeginCapture": begin,
        "cudaStreamEndCapture": end,
        "cudaGraphInstantiate": lambda graph, flags: (call("cudaGraphInstantiate", flags), graph),
        "cudaGraphLaunch": launch,
        "cudaGraphDestroy": lambda graph: (call("cudaGraphDestroy"),),
        "cudaGraphExecDestroy": lambda graph: (call("cudaGraphExecDestroy"),),
    }
    flags = {"cudaHostAllocDefault": 0, "cudaStreamNonBlocking": 1}
    types = {"cudaMemcpyKind": Kind, "cudaDeviceAttr": Attribute, "cudaStreamCaptureMode": Mode}
    names = {"cudaError_t": Error, **types, **flags}
    return {**names, **{name: named(name, answer) for name, answer in functions.items()}}
