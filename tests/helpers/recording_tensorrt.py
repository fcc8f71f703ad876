"""A double of ``tensorrt`` that records what is asked of it and computes a toy model on ``recording_cuda``'s machine.

It has only what TensorRT 10 and 11 have in common: no binding indices, no BuilderFlag.FP16 or INT8, no calibrators.
So code that uses what one of them lacks fails here.
"""

from __future__ import annotations

import ctypes
import enum
import json
import time
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from recording_cuda import Double, cuda_runtime
from recording_pycuda import pycuda_driver


class Memory(bytes):
    """An IHostMemory."""

    @property
    def nbytes(self) -> int:
        return len(self)

    def serialize(self) -> Memory:
        return self


def modules(double: Double) -> dict[str, ModuleType | None]:
    """What is imported as ``tensorrt``, ``cuda.bindings.runtime`` and ``pycuda.driver`` on that machine."""
    trt = _module("tensorrt", _tensorrt(double))
    if double.library == "pycuda":
        driver, pycuda = _module("pycuda.driver", pycuda_driver(double)), ModuleType("pycuda")
        pycuda.driver = driver  # type: ignore[attr-defined]
        missing = dict.fromkeys(("cuda", "cuda.bindings", "cuda.bindings.runtime"))
        return {"tensorrt": trt, "pycuda": pycuda, "pycuda.driver": driver, **missing}
    runtime = _module("cuda.bindings.runtime", cuda_runtime(double))
    bindings, cuda = _module("cuda.bindings", {"runtime": runtime}), ModuleType("cuda")
    cuda.bindings = bindings  # type: ignore[attr-defined]
    return {"tensorrt": trt, "cuda": cuda, "cuda.bindings": bindings, "cuda.bindings.runtime": runtime}


def _module(name: str, content: dict[str, Any]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    return module


def _tensorrt(double: Double) -> dict[str, Any]:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    class ILogger:
        def log(self, severity: Severity, msg: str) -> None:
            raise NotImplementedError

    ILogger.Severity = Severity  # type: ignore[attr-defined]

    class Flag(enum.IntEnum):  # of the builder
        GPU_FALLBACK = 3
        TF32 = 7

    class DeviceType(enum.IntEnum):
        GPU = 0
        DLA = 1

    class Creation(enum.IntEnum):
        STRONGLY_TYPED = 1

    class Mode(enum.IntEnum):
        INPUT = 1
        OUTPUT = 2

    class Tensor:
        name, dtype, shape = double.input, double.kind, double.shape

    class Network:
        num_layers = 5

        def get_input(self, index: int) -> Tensor:
            return Tensor()

        def get_layer(self, index: int) -> int:
            return index

    class Profile:
        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
            self.shapes = (min, opt, max)
            double.record("set_shape", (input, min, opt, max))

    class Config:
        default_device_type = DeviceType.GPU
        DLA_core = -1

        def set_flag(self, flag: Flag) -> None:
            double.record("set_flag", flag.name)

        def clear_flag(self, flag: Flag) -> None:
            double.record("clear_flag", flag.name)

        def add_optimization_profile(self, profile: Profile) -> int:
            self.profile = profile.shapes
            return 0

        def can_run_on_DLA(self, layer: int) -> bool:
            return layer < double.placed_on_dla

        def create_timing_cache(self, data: bytes) -> Memory | None:
            double.record("create_timing_cache", data)
            return None if data == b"broken" else Memory(data)

        def set_timing_cache(self, cache: Memory, ignore_mismatch: bool) -> bool:
            self.timing = cache
            return cache != b"of another GPU"

        def get_timing_cache(self) -> Memory:
            return Memory(self.timing + b"timed")

    class Builder:
        num_DLA_cores = double.dla_cores

        def __init__(self, logger: ILogger):
            self.logger = logger

        def create_network(self, flags: int = 0) -> Network:
            double.record("create_network", flags)
            return Network()

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Network, config: Config) -> Memory | None:
            double.record("build", (config.default_device_type.name, config.DLA_core))
            if double.build_error:
                self.logger.log(Severity.ERROR, double.build_error)
                return None
            return Memory(json.dumps(config.profile).encode())

    class ParserError:
        def __init__(self, error: tuple[int, str, str, str]):
            self._error = error

        def node(self) -> int:
            return self._error[0]

        def node_name(self) -> str:
            return self._error[1]

        def node_operator(self) -> str:
            return self._error[2]

        def desc(self) -> str:
            return self._error[3]

    class OnnxParser:
        num_errors = len(double.parse_errors)

        def __init__(self, network: Network, logger: ILogger):
            pass

        def parse(self, model: bytes) -> bool:
            return not double.parse_errors

        def get_error(self, index: int) -> ParserError:
            return ParserError(double.parse_errors[index])

    class Context:
        def __init__(self) -> None:
            self.addresses: dict[str, int] = {}
            self.shape: tuple[int, ...] = ()

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            assert name == double.input
            self.shape = tuple(shape)
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return (self.shape[0], double.outputs[name])

        def set_tensor_address(self, name: str, memory: int) -> bool:
            double.record("set_tensor_address", name)
            self.addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            """Output i of a crop: the sum of its bytes, plus i."""
            double.record("execute_async_v3", self.shape)
            if double.fail.get("execute_async_v3", 0) > 0:
                double.fail["execute_async_v3"] -= 1
                return False
            double.do(partial(self.work, self.shape, dict(self.addresses)))
            return True

        def work(self, shape: tuple[int, ...], addresses: dict[str, int]) -> None:
            assert double.at_work.acquire(blocking=False), "two threads in one execution context"
            try:
                assert shape == self.shape, "the context changed since its graph was captured"
                crops = np.array(double.held[addresses[double.input]][: int(np.prod(shape))])
                time.sleep(0.0005)  # others run now, if nothing stops them
                sums = crops.reshape(shape[0], -1).sum(axis=1)
                for name, width in double.outputs.items():
                    values = (sums[:, None] + np.arange(width)).astype(np.float32)
                    ctypes.memmove(addresses[name], values.tobytes(), values.nbytes)
            finally:
                double.at_work.release()

    class Engine:
        def __init__(self, plan: bytes):
            self._profile = json.loads(plan)
            self._names = [double.input, *double.outputs]
            self.num_io_tensors = len(self._names)

        def get_tensor_name(self, index: int) -> str:
            return self._names[index]

        def get_tensor_mode(self, name: str) -> Mode:
            return Mode.INPUT if name == double.input else Mode.OUTPUT

        def get_tensor_dtype(self, name: str) -> str:
            return "uint8" if name == double.input else "float32"

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
            return [tuple(shape) for shape in self._profile]

        def create_execution_context(self) -> Context:
            return Context()

    class Runtime:
        DLA_core = -1

        def __init__(self, logger: ILogger):
            self.logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
            double.record("deserialize", self.DLA_core)
            try:
                return Engine(serialized_engine)
            except ValueError:
                self.logger.log(Severity.ERROR, "magic tag does not match")
                return None

    names = {"uint8": "uint8", "float32": "float32", "__version__": double.version, "ILogger": ILogger}
    types = {"BuilderFlag": Flag, "DeviceType": DeviceType, "NetworkDefinitionCreationFlag": Creation}
    used = {"TensorIOMode": Mode, "Builder": Builder, "OnnxParser": OnnxParser, "Runtime": Runtime}
    return {**names, **types, **used}
