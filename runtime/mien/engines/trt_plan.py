"""TensorRT plans: built from an ONNX file on the machine that runs them, cached, and never loaded on another.

Networks are strongly typed: TensorRT 11 knows no others, and TensorRT 10 has a flag for it. So the ONNX file alone
decides between fp32, fp16 (float16 weights and casts) and int8 (explicit Q and DQ nodes). See
https://docs.nvidia.com/deeplearning/tensorrt/latest/api/migration/tensorrt-10x-to-11x-python-api-reference.html
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import tensorrt as trt

from mien.engines.device_memory import memory_type
from mien.errors import EngineUnavailable, ModelInvalid, OutputError
from mien.files import cache_folder, write_whole

BATCHES = (1, 4, 16)
"""Smallest, usual and largest number of crops that a plan takes at once."""
SIDES = ((32, 32), (384, 640), (1920, 1920))
"""Smallest, usual and largest height and width in px, for models that take pictures of any size (the face detector)."""
BUILD = 1
"""Raise this whenever ``build`` makes different plans from the same file, so that old plans are no longer used."""

_BUSY = threading.Lock()  # one build at a time: others wait and then find the plan; and messages belong to one call
_LOGGER = logging.getLogger("mien")


class Log(trt.ILogger):  # type: ignore[misc]
    """Collects TensorRT's errors for the exception that follows; the rest goes to Python's logging."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self._errors: list[str] = []

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self._errors.append(msg)
        else:
            _LOGGER.debug("TensorRT: %s", msg)

    def take(self) -> str:
        """The errors since the last call, on one line."""
        errors, self._errors = self._errors, []
        return "; ".join(" ".join(error.split()) for error in errors) or "it gave no reason"


LOG = Log()  # TensorRT wants the same logger everywhere in a process


@dataclass(frozen=True)
class PlanKey:
    """Everything that a plan depends on. It is encoded in the file name, so nothing is guessed from the content.

    ``model``: sha256 of the ONNX file. ``gpu``: its architecture, such as ``sm_87``. ``processors``: number of
    multiprocessors, because chips of one architecture differ. ``tensorrt``: its version. ``dla``: the accelerator's
    core, None for the GPU.
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
        """Parse a plan's file name. Raises ModelInvalid if ``plan_for`` did not name it."""
        form = r"(\w+)-([0-9a-f]{64})-(sm_\d+)x(\d+)-trt([\w.+]+)(?:-dla(\d+))?-(\d+)\.plan"
        found = re.fullmatch(form, path.name)
        if found is None:
            raise ModelInvalid(f"{path} is not named as a plan of mien; give the ONNX file, then its plan is built")
        precision, model, gpu, processors, version, dla, build = found.groups()
        return cls(precision, model, gpu, int(processors), version, None if dla is None else int(dla), int(build))


def core_of(device: str) -> int | None:
    """``tensorrt`` -> None, ``dla:1`` -> 1. Raises EngineUnavailable for other names."""
    found = re.fullmatch(r"tensorrt|dla:(\d)", device)
    if found is None:
        raise EngineUnavailable(f"unknown device {device!r}; TensorRT has 'tensorrt', 'dla:0' and 'dla:1'")
    return None if found[1] is None else int(found[1])


def key_here(precision: str, model: str, dla: int | None = None) -> PlanKey:
    """The key of a plan for this machine: CUDA's first GPU and the installed TensorRT."""
    gpu, processors = memory_type().gpu()
    return PlanKey(precision, model, gpu, processors, trt.__version__, dla)


def plan_for(onnx: Path, *, precision: str, cache: Path | None = None, dla: int | None = None) -> Path:
    """The plan of an ONNX file for this machine. If there is none yet, it is built, which takes minutes.

    ``precision``: of the file, for the plan's name. ``cache``: a folder, by default ``$MIEN_CACHE`` or
    ``~/.cache/mien``; plans are stored in its subfolder ``plans``. ``dla``: core of a Jetson's accelerator, which
    computes in fp16 or int8. Raises EngineUnavailable, ModelInvalid or OutputError.
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
            with memory_type().active():
                built, timed = build(model, str(onnx), dla, timing.read_bytes() if timing.is_file() else b"")
            _write(timing, bytes(timed))
            _write(plan, bytes(built))
    return plan


def build(model: bytes, name: str, dla: int | None, timing: bytes) -> tuple[trt.IHostMemory, trt.IHostMemory]:
    """The bytes of an ONNX file and of a timing cache (may be empty) -> plan and new timing cache."""
    LOG.take()
    builder = trt.Builder(LOG)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, LOG)
    if not parser.parse(model):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        words = (f"node {e.node()} {e.node_name()} ({e.node_operator()}): {' '.join(e.desc().split())}" for e in errors)
        raise ModelInvalid(f"TensorRT {trt.__version__} cannot take {name}: {'; '.join(words) or LOG.take()}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # TF32 would leave fp32 only ten bits of mantissa
    crops = network.get_input(0)
    profile = builder.create_optimization_profile()
    profile.set_shape(crops.name, *shapes(tuple(crops.shape), crops.dtype, name, dla))
    if config.add_optimization_profile(profile) < 0:
        raise ModelInvalid(f"TensorRT does not accept the sizes of {name}: {LOG.take()}")
    if dla is not None:
        _use_dla(dla, builder, network, config)
    for known in (timing, b""):  # a broken cache, or one of another GPU, is replaced by an empty one
        cache = config.create_timing_cache(known)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            break
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelInvalid(f"TensorRT {trt.__version__} cannot build {name}: {LOG.take()}")
    return plan, config.get_timing_cache().serialize()


def _use_dla(core: int, builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig) -> None:
    """Place all layers that the accelerator can run on it, the others on the GPU. EngineUnavailable if it runs none."""
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
    """Input (N, H, W, 3), -1 for a free size -> its smallest, usual and largest shape. A DLA takes one shape only."""
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
    """Load a plan of this machine. The returned runtime must outlive the engine.

    Raises EngineUnavailable for a plan of another GPU, TensorRT or DLA core, ModelInvalid for a broken one.
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
            runtime.DLA_core = dla  # the plan does not select it: without this every plan runs on core 0
        try:
            engine = runtime.deserialize_cuda_engine(path.read_bytes())
        except OSError as error:
            raise ModelInvalid(f"cannot read {path}: {error.strerror}") from error
        if engine is None:
            raise ModelInvalid(f"TensorRT cannot load {path}: {LOG.take()}; delete it, then it is built anew")
    return runtime, engine, key


def _write(path: Path, data: bytes) -> None:
    """Write it durably: a plan that a power failure left empty would not be built again."""
    remedy = "set MIEN_CACHE to a writable folder"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; {remedy}") from error
    write_whole(path, data, durable=True, remedy=remedy)
