"""Which engine and precision run fastest here: measured on this machine, and remembered for it and the bundle."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import numpy as np

from mien.bundle import IR_FILES, Bundle, cache_folder
from mien.engines import DEVICES, Engine, has_library, load_engine
from mien.engines.cores import processor, usable_cores
from mien.errors import EngineUnavailable, InputError, ModelInvalid
from mien.types import Image

AUTOMATIC = ("cuda", "cpu", "openvino")
"""Devices that ``auto`` looks at. TensorRT builds for minutes: it must be asked for, unless it is all there is."""
BLOCKS, WARM_UP, CALLS = 5, 3, 5
"""How often each way has its turn, and its calls in one: those that are not counted, and those that are."""
PAUSE = 0.02
"""Seconds before a turn: after a call the threads of some engines wait for more work in a busy loop, which slows down
whatever runs next. With turns of one call OpenVINO came out three times as slow behind ONNX Runtime as alone."""
GAIN = 1.1
"""What is less exact, or comes later in the list, must be this many times as fast to be chosen."""
GPUS = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/dxg")
"""What Linux shows of NVIDIA's GPUs: of cards, of Jetsons, and in WSL."""
LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "mien")

K = TypeVar("K")
Way = tuple[str, str]
"""Device and precision."""


@dataclass(frozen=True)
class Choice:
    """``times``: median milliseconds of one crop, by "device precision"; empty where there was nothing to choose.

    ``refused``: why other ways could not be had.
    """

    device: str
    precision: str
    why: str
    times: dict[str, float]
    refused: dict[str, str]


def choose(
    bundle: Bundle, device: str = "auto", precision: str = "auto", threads: int | None = None, *, fresh: bool = False
) -> Choice:
    """The fastest way to run ``bundle`` within what was asked for; ``auto`` leaves it open.

    The first call on a machine measures for about a second; the result is kept in ``$MIEN_CACHE`` or
    ``~/.cache/mien``. ``fresh``: measure in any case. Raises EngineUnavailable where nothing that fits is installed or
    the bundle lacks the precision, ModelInvalid where no engine can use the bundle's files, InputError for ``threads``.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}; use 1 or more, or leave it out for all cores but one")
    possible = ways(bundle, device, precision)
    if len(possible) == 1:
        asked = device != "auto" and precision != "auto"
        return Choice(*possible[0], "asked for" if asked else "nothing else is installed or in the bundle", {}, {})
    kept = _kept_file(bundle, possible, threads)
    known = None if fresh else _read(kept, possible)
    if known is not None:
        return known
    made = _measure(bundle, possible, threads)
    with suppress(OSError):  # a read-only home is no reason to fail: then it is measured anew each time
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(asdict(made)), encoding="utf-8")
        partial.replace(kept)
    return made


def ways(bundle: Bundle, device: str, precision: str) -> list[Way]:
    """What may be tried: the exact before the quick. Half precision is for GPUs; an artefact that its proof did not
    pass (``fer-export --force``) has to be asked for by name."""
    devices = [device]
    if device == "auto":
        devices = [name for name in AUTOMATIC if has_library(name)] or ["tensorrt"] * has_library("tensorrt")
    if not devices:
        raise EngineUnavailable('no inference engine is installed; run: pip install "mien[cpu]"')
    if device != "auto" and device not in DEVICES:
        raise EngineUnavailable(f"unknown device {device!r}; choose one of auto, {', '.join(DEVICES)}")
    if precision != "auto":
        return [(name, precision) for name in devices]
    made = []
    for held in bundle.precisions or ["fp32"]:
        fit = [name for name in devices if held != "fp16" or name not in ("cpu", "openvino")]
        made += [(name, held) for name in fit if _proven(bundle, name, held)]
    if not made:
        held = ", ".join(bundle.precisions)
        raise EngineUnavailable(f"bundle {bundle.folder} has only {held}, which auto does not take; name the precision")
    return made


def _proven(bundle: Bundle, device: str, precision: str) -> bool:
    """Whether all that the way uses beside the exported fp32 model, which is the reference, passed its proof."""
    artefacts = [precision] if precision != "fp32" else []
    if device == "openvino" and IR_FILES.get(precision) in bundle.card.files:
        artefacts.append(f"openvino {precision}")
    return all(bundle.card.proofs.get(name, {}).get("passed") is True for name in artefacts)


def open_way(bundle: Bundle, way: Way, threads: int | None) -> Engine:
    """The engine for a device and precision. Raises EngineUnavailable or ModelInvalid."""
    device, precision = way
    return load_engine(bundle.model_file(precision, device), device=device, threads=threads, precision=precision)


def _measure(bundle: Bundle, possible: Sequence[Way], threads: int | None) -> Choice:
    size = bundle.card.crop.size
    crop = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    engines: dict[Way, Engine] = {}
    refused: dict[Way, Exception] = {}
    for way in possible:
        try:
            engine = open_way(bundle, way, threads)
            engine.run(crop)  # some libraries tell only now that they cannot
            engines[way] = engine
        except Exception as error:  # also of a library that is half there: it must not keep the others from being used
            refused[way] = error
    if not engines:
        kind = ModelInvalid if any(isinstance(error, ModelInvalid) for error in refused.values()) else EngineUnavailable
        raise kind("; ".join(dict.fromkeys(str(error) or repr(error) for error in refused.values())))
    times = take_turns(engines, crop)
    best = next(iter(times))
    for way, value in times.items():
        if value * GAIN < times[best]:
            best = way
    shown = {" ".join(way): round(value, 3) for way, value in times.items()}
    why = "the fastest here" if times[best] == min(times.values()) else f"nothing less exact is {GAIN - 1:.0%} faster"
    why = why if len(times) > 1 else "the only one that runs here"
    return Choice(*best, why, shown, {" ".join(way): str(error) or repr(error) for way, error in refused.items()})


def take_turns(engines: Mapping[K, Engine], crop: Image, blocks: int = BLOCKS) -> dict[K, float]:
    """Median milliseconds of one crop (1, S, S, 3) on each engine, the engines in turn, ``blocks`` times."""
    seconds: dict[K, list[float]] = {key: [] for key in engines}
    for _ in range(blocks):
        for key, engine in engines.items():
            time.sleep(PAUSE)
            for i in range(WARM_UP + CALLS):
                start = time.perf_counter()
                engine.run(crop)
                if i >= WARM_UP:
                    seconds[key].append(time.perf_counter() - start)
    return {key: 1000 * statistics.median(values) for key, values in seconds.items()}


def _read(kept: Path, possible: Sequence[Way]) -> Choice | None:
    """What was remembered; None where nothing was, or what stands there is not a choice among ``possible``."""
    try:
        choice = Choice(**json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    whole = isinstance(choice.times, dict) and isinstance(choice.refused, dict)
    return choice if whole and (choice.device, choice.precision) in possible else None


def _kept_file(bundle: Bundle, possible: Sequence[Way], threads: int | None) -> Path:
    """Named by all that the result depends on, so that another machine, library or bundle is measured anew."""
    versions = []
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            versions.append((name, version(name)))
    # A home may be shared by machines, and a container may be started with or without a GPU, or with other cores.
    gpus = [name for name in GPUS if Path(name).exists()], os.environ.get("CUDA_VISIBLE_DEVICES")
    parts = (processor(), usable_cores(), gpus, versions, sorted(bundle.card.files.items()), threads, list(possible))
    return cache_folder() / "choices" / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:20]}.json"
