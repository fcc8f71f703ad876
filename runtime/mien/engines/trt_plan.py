"""TensorRT plans: built from an ONNX file on the machine that runs them, kept, never loaded where they do not belong.

Networks are strongly typed: TensorRT 11 knows no others, and on 10 a flag makes the file's own types count. So fp32,
fp16 (float16 weights and casts) and int8 (explicit Q and DQ) are decided by the ONNX file, and by nothing here. See
https://docs.nvidia.com/deeplearning/tensorrt/latest/api/migration/tensorrt-10x-to-11x-python-api-reference.html
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorrt as trt

# NVIDIA's own bindings: wheels for x86 and ARM, and the same CUDA context as TensorRT's in every thread. PyCUDA has to
# be compiled on the device and makes a context of its own, which each thread must push and pop.
from cuda.bindings import runtime as cudart

from mien.bundle import cache_folder
from mien.errors import EngineUnavailable, ModelInvalid, OutputError

BATCHES = (1, 4, 16)
"""Least, usual and largest number of crops that a plan takes in one go."""
SIDES = ((32, 32), (384, 640), (1920, 1920))
"""Least, usual and largest height and width in px, where the model takes pictures of free size (the face detector)."""
BUILD = 1
"""To be raised whenever ``build`` makes other plans of the same file: then the old ones are not used any more."""

_BUSY = threading.Lock()  # one build at a time: others wait and find the plan; and the messages belong to one call
_LOGGER = logging.getLogger("mien")


class Log(trt.ILogger):  # type: ignore[misc]
    """TensorRT's errors are kept for the exception that follows; the rest goes to Python's logging."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self._errors: list[str] = []

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self._errors.append(msg)
        else:
            _LOGGER.debug("TensorRT: %s", msg)

    def take(self) -> str:
        """The errors since the last call, in one line."""
        errors, self._errors = self._errors, []
        return "; ".join(" ".join(error.split()) for error in errors) or "it gave no reason"


LOG = Log()  # TensorRT wants the same logger everywhere in a process


@dataclass(frozen=True)
class PlanKey:
    """All that a plan belongs to; it is the plan's file name, so that nothing has to be guessed from its content.

    ``model``: sha256 of the ONNX file. ``gpu``: its architecture, ``sm_87``. ``processors``: how many it has, because
    chips of one architecture differ. ``tensorrt``: its version. ``dla``: the accelerator's core, None for the GPU.
    """

    precision: str
    model: str
    gpu: str
    processors: int
    tensorrt: str
    dla: int | None = None
    build: int = BUILD

    @property
    def name(self) -> str:
        core = "" if self.dla is None else f"-dla{self.dla}"
        return f"{self.precision}-{self.model}-{self.target}{core}-{self.build}.plan"

    @property
    def target(self) -> str:
        return f"{self.gpu}x{self.processors}-trt{self.tensorrt}"

    @classmethod
    def of(cls, path: Path) -> PlanKey:
        """From a plan's file name. Raises ModelInvalid where it is not one that ``plan_for`` gave."""
        form = r"(\w+)-([0-9a-f]{64})-(sm_\d+)x(\d+)-trt([\w.+]+)(?:-dla(\d+))?-(\d+)\.plan"
        found = re.fullmatch(form, path.name)
        if found is None:
            raise ModelInvalid(f"{path} is not named as a plan of mien; give the ONNX file, then its plan is built")
        precision, model, gpu, processors, version, dla, build = found.groups()
        return cls(precision, model, gpu, int(processors), version, None if dla is None else int(dla), int(build))


def cuda(call: Callable[..., Any], *arguments: object) -> Any:
    """Call a function of the CUDA runtime. Raises EngineUnavailable, in CUDA's words, where it fails."""
    status, *values = call(*arguments)
    if status != cudart.cudaError_t.cudaSuccess:
        words = cudart.cudaGetErrorString(status)[1].decode()
        raise EngineUnavailable(f"CUDA: {words} ({call.__name__}); check the GPU and its driver, or use device 'cpu'")
    return values[0] if values else None


def core_of(device: str) -> int | None:
    """``tensorrt`` -> None, ``dla:1`` -> 1. Raises EngineUnavailable for other names."""
    found = re.fullmatch(r"tensorrt|dla:(\d)", device)
    if found is None:
        raise EngineUnavailable(f"unknown device {device!r}; TensorRT has 'tensorrt', 'dla:0' and 'dla:1'")
    return None if found[1] is None else int(found[1])


def key_here(precision: str, model: str, dla: int | None = None) -> PlanKey:
    """The key of a plan for this machine: the first GPU that CUDA shows, and the installed TensorRT."""
    device, of = cuda(cudart.cudaGetDevice), cudart.cudaDeviceAttr
    major = cuda(cudart.cudaDeviceGetAttribute, of.cudaDevAttrComputeCapabilityMajor, device)
    minor = cuda(cudart.cudaDeviceGetAttribute, of.cudaDevAttrComputeCapabilityMinor, device)
    processors = cuda(cudart.cudaDeviceGetAttribute, of.cudaDevAttrMultiProcessorCount, device)
    return PlanKey(precision, model, f"sm_{major}{minor}", processors, trt.__version__, dla)


def plan_for(onnx: Path, *, precision: str, cache: Path | None = None, dla: int | None = None) -> Path:
    """The plan of an ONNX file for this machine, built now if there is none yet, which takes minutes.

    ``precision``: of the file, for the plan's name. ``cache``: a folder; ``$MIEN_CACHE`` or ``~/.cache/mien`` where
    None. Plans lie in its folder ``plans``. ``dla``: core of a Jetson's accelerator, which computes in fp16 or int8.
    Raises EngineUnavailable, ModelInvalid or OutputError.
    """
    if dla is not None and precision == "fp32":
        raise EngineUnavailable("a DLA computes in fp16 or int8, not fp32; choose one of these precisions")
    try:
        model = onnx.read_bytes()
    except OSError as error:
        raise ModelInvalid(f"cannot read {onnx}: {error.strerror}") from error
    key = key_here(precision, hashlib.sha256(model).hexdigest(), dla)
    folder = (cache or cache_folder()) / "plans"
    plan, timing = folder / key.name, folder / f"{key.target}.timing"
    with _BUSY:
        if not plan.is_file():
            _LOGGER.warning("building the TensorRT plan of %s for %s: once, for some minutes", onnx, key.target)
            built, timed = build(model, str(onnx), dla, timing.read_bytes() if timing.is_file() else b"")
            _write(timing, timed)
            _write(plan, built)
    return plan


def build(model: bytes, name: str, dla: int | None, timing: bytes) -> tuple[trt.IHostMemory, trt.IHostMemory]:
    """An ONNX file's bytes and those of a timing cache (may be empty) -> plan and new timing cache."""
    LOG.take()
    builder = trt.Builder(LOG)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, LOG)
    if not parser.parse(model):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        words = (f"node {e.node()} {e.node_name()} ({e.node_operator()}): {' '.join(e.desc().split())}" for e in errors)
        raise ModelInvalid(f"TensorRT {trt.__version__} cannot take {name}: {'; '.join(words) or LOG.take()}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 is to mean fp32, not TF32's ten bits
    crops = network.get_input(0)
    profile = builder.create_optimization_profile()
    profile.set_shape(crops.name, *shapes(tuple(crops.shape), crops.dtype, name, dla))
    if config.add_optimization_profile(profile) < 0:
        raise ModelInvalid(f"TensorRT does not accept the sizes of {name}: {LOG.take()}")
    if dla is not None:
        _use_dla(dla, builder, network, config)
    for known in (timing, b""):  # what is broken, or of another GPU, is begun anew
        cache = config.create_timing_cache(known)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            break
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelInvalid(f"TensorRT {trt.__version__} cannot build {name}: {LOG.take()}")
    return plan, config.get_timing_cache().serialize()


def _use_dla(core: int, builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig) -> None:
    """All layers on the accelerator that it can run, the others on the GPU; EngineUnavailable where that is all."""
    if core >= builder.num_DLA_cores:
        raise EngineUnavailable(
            f"there is no DLA core {core}: this machine has {builder.num_DLA_cores}; use 'tensorrt'"
        )
    config.default_device_type, config.DLA_core = trt.DeviceType.DLA, core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    placed = sum(config.can_run_on_DLA(network.get_layer(i)) for i in range(network.num_layers))
    if not placed:
        raise EngineUnavailable("no layer of the model can run on the DLA; use device 'tensorrt'")
    _LOGGER.info("%d of %d layers may run on DLA core %d", placed, network.num_layers, core)


def shapes(
    shape: tuple[int, ...], kind: trt.DataType, name: str, dla: int | None
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Input (N, H, W, 3) with -1 where it is free -> its least, usual and largest shape. A DLA wants one shape only."""
    if kind != trt.uint8 or len(shape) != 4 or shape[3] != 3:
        raise ModelInvalid(f"the input of {name} is {kind} {shape}, but mien's engines feed uint8 (N, H, W, 3)")
    batches = (1, 1, 1) if dla is not None else BATCHES
    if dla is not None and -1 in shape[1:]:
        raise EngineUnavailable(f"a DLA takes pictures of one size, but that of {name} is free; use 'tensorrt'")

    def fill(batch: int, sides: tuple[int, int]) -> tuple[int, ...]:
        return tuple(known if known >= 0 else free for known, free in zip(shape, (batch, *sides, 3), strict=True))

    least, usual, most = (fill(batch, sides) for batch, sides in zip(batches, SIDES, strict=True))
    return least, usual, most


def load_plan(path: Path, dla: int | None) -> tuple[trt.Runtime, trt.ICudaEngine, PlanKey]:
    """A plan of this machine; the runtime has to outlive the engine.

    Raises EngineUnavailable for a plan of another GPU, TensorRT or DLA core, ModelInvalid for one that is broken.
    """
    key = PlanKey.of(path)
    here = key_here(key.precision, key.model, dla)
    if key != replace(here, build=key.build):
        asked = "the GPU" if dla is None else f"DLA core {dla}"
        raise EngineUnavailable(
            f"{path} was built for {key.target}{'' if key.dla is None else f' and DLA core {key.dla}'}; this is "
            f"{here.target}, and {asked} was asked for; give the ONNX file, then a plan for it is built"
        )
    with _BUSY:
        LOG.take()
        runtime = trt.Runtime(LOG)
        if dla is not None:
            runtime.DLA_core = dla  # the plan does not choose it: without this every plan runs on core 0
        try:
            engine = runtime.deserialize_cuda_engine(path.read_bytes())
        except OSError as error:
            raise ModelInvalid(f"cannot read {path}: {error.strerror}") from error
        if engine is None:
            raise ModelInvalid(f"TensorRT cannot load {path}: {LOG.take()}; delete it, then it is built anew")
    return runtime, engine, key


def _write(path: Path, data: trt.IHostMemory) -> None:
    """All of it or nothing, also where the power fails or two processes build the same plan."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        finally:
            Path(aside).unlink(missing_ok=True)  # is there only where something failed
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; set MIEN_CACHE to a folder that can") from error
