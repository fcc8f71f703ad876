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

from mien.bundle import HEAD, IR_FILES, Bundle
from mien.engines import DEVICES, Engine, has_library, load_engine
from mien.engines.cores import processor, usable_cores
from mien.engines.golden import INT8_WRONG, check
from mien.engines.head import HeadedEngine, read_head
from mien.engines.providers import PROVIDERS
from mien.errors import EngineUnavailable, ModelInvalid
from mien.files import cache_folder, write_whole
from mien.packages import ONNXRUNTIME
from mien.types import Image
from mien.validation import check_threads

AUTOMATIC = ("cuda", "cpu", "openvino")
"""Devices that ``auto`` considers. TensorRT builds for minutes, so it must be asked for unless nothing else exists."""
BLOCKS, WARM_UP, CALLS = 5, 3, 5
"""How many turns each backend gets; in each turn, the calls to warm up and the calls that are timed."""
PAUSE_SECONDS = 0.02
"""Pause before a turn. After a call the threads of some engines wait for more work in a busy loop, which slows down
whatever runs next: in turns of one call, OpenVINO measured three times as slow after ONNX Runtime as on its own."""
MIN_SPEEDUP = 1.1
"""A backend that is less exact, or later in the list, must be this many times as fast to be selected."""
GPUS = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/dxg")
"""Device files of NVIDIA's GPUs on Linux: of cards, of Jetsons, and in WSL."""
PLUGINS = tuple(provider.plugin.replace("_", "-") for provider in PROVIDERS.values() if provider.plugin)
LIBRARIES = (*ONNXRUNTIME, *PLUGINS, "openvino", "tensorrt", "mien")

K = TypeVar("K")
Backend = tuple[str, str]
"""Device and precision."""


@dataclass(frozen=True)
class Selection:
    """The backend that was selected, and why.

    ``times``: median milliseconds for one crop, by "device precision"; empty if there was only one candidate.
    ``refused``: why other candidates cannot run here, by "device precision".
    """

    device: str
    precision: str
    why: str
    times: dict[str, float]
    refused: dict[str, str]


def select_backend(
    bundle: Bundle, device: str = "auto", precision: str = "auto", threads: int | None = None, *, fresh: bool = False
) -> Selection:
    """The fastest backend for ``bundle`` that fits the request; ``auto`` leaves a part of the request open.

    The first call on a machine measures for about a second. The result is stored in ``$MIEN_CACHE`` or
    ``~/.cache/mien``; ``fresh`` ignores it and measures again.

    Raises:
        EngineUnavailable: nothing suitable is installed, or the bundle lacks the precision.
        ModelInvalid: no engine can use the bundle's files.
        InputError: ``threads`` is out of range.
    """
    threads = check_threads(threads)
    possible = candidates(bundle, device, precision)
    if len(possible) == 1:
        asked = device != "auto" and precision != "auto"
        return Selection(*possible[0], "asked for" if asked else "nothing else is installed or in the bundle", {}, {})
    cache = _cache_file(bundle, possible, threads)
    cached = None if fresh else _read(cache, possible)
    if cached is not None:
        return cached
    selection = _measure(bundle, possible, threads)
    with suppress(OSError):  # without a writable cache, every start measures again
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_whole(cache, json.dumps(asdict(selection)).encode())
    return selection


def candidates(bundle: Bundle, device: str, precision: str) -> list[Backend]:
    """The backends to try, the most exact first. Half precision is for GPUs only. A file that failed its proof
    (``fer-export --force``) must be asked for by name."""
    devices = [device]
    if device == "auto":
        devices = [name for name in AUTOMATIC if has_library(name)] or ["tensorrt"] * has_library("tensorrt")
    if not devices:
        raise EngineUnavailable('no inference engine is installed; run: pip install "mien[cpu]"')
    if device != "auto" and device not in DEVICES:
        raise EngineUnavailable(f"unknown device {device!r}; choose one of auto, {', '.join(DEVICES)}")
    if precision != "auto":
        return [(name, precision) for name in devices]
    found = []
    for held in bundle.precisions or ["fp32"]:
        fit = [name for name in devices if held != "fp16" or _halves(name)]
        found += [(name, held) for name in fit if _proven(bundle, name, held)]
    if not found:
        held = ", ".join(bundle.precisions)
        raise EngineUnavailable(f"bundle {bundle.folder} has only {held}, which auto does not take; name the precision")
    return found


def _halves(device: str) -> bool:
    """Whether float16 may make ``device`` faster: not on processors."""
    return PROVIDERS[device].half if device in PROVIDERS else device != "openvino"


def _proven(bundle: Bundle, device: str, precision: str) -> bool:
    """Whether every file that the backend uses passed its proof. The exported fp32 model is the reference."""
    artifacts = [precision] if precision != "fp32" else []
    if device == "openvino" and IR_FILES.get(precision) in bundle.network.card.files:
        artifacts.append(f"openvino {precision}")
    return all(bundle.card.proofs.get(name, {}).get("passed") is True for name in artifacts)


def open_backend(bundle: Bundle, backend: Backend, threads: int | None) -> Engine:
    """The engine for a device and precision.

    Raises:
        EngineUnavailable: it cannot be had, or it computes something else than the model in int8.
        ModelInvalid: it cannot use the bundle's files.
    """
    device, precision = backend
    file = bundle.network.model_file(precision, device)
    engine = load_engine(file, device=device, threads=threads, precision=precision)
    differences = check(engine, bundle.network) if precision == "int8" else None
    if differences and differences["expression"] > INT8_WRONG:
        raise EngineUnavailable(
            f"{engine.name} is wrong in int8 on this processor: probabilities differ by up to "
            f"{differences['expression']:.2f}, as those of x86 without VNNI do; use precision='fp32'"
        )
    if not bundle.card.network:
        return engine
    return HeadedEngine(engine, read_head(bundle.verified(HEAD), len(bundle.card.labels), bundle.card.embedding))


def _measure(bundle: Bundle, possible: Sequence[Backend], threads: int | None) -> Selection:
    size = bundle.card.crop.size
    crop = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    engines: dict[Backend, Engine] = {}
    refused: dict[Backend, Exception] = {}
    for backend in possible:
        try:
            engine = open_backend(bundle, backend, threads)
            engine.run(crop)  # some libraries fail only now
            engines[backend] = engine
        except Exception as error:  # a half-removed library must not keep the others from being used
            refused[backend] = error
    if not engines:
        kind = ModelInvalid if any(isinstance(error, ModelInvalid) for error in refused.values()) else EngineUnavailable
        raise kind("; ".join(dict.fromkeys(str(error) or repr(error) for error in refused.values())))
    times = take_turns(engines, crop)
    best = next(iter(times))
    for backend, value in times.items():
        if value * MIN_SPEEDUP < times[best]:
            best = backend
    shown = {" ".join(backend): round(value, 3) for backend, value in times.items()}
    why = "the fastest here"
    if times[best] > min(times.values()):
        why = f"nothing less exact is {MIN_SPEEDUP - 1:.0%} faster"
    if len(times) == 1:
        why = "the only one that runs here"
    reasons = {" ".join(backend): str(error) or repr(error) for backend, error in refused.items()}
    return Selection(*best, why, shown, reasons)


def take_turns(engines: Mapping[K, Engine], crop: Image, blocks: int = BLOCKS) -> dict[K, float]:
    """Median milliseconds for one crop (1, S, S, 3) on each engine. The engines take turns, ``blocks`` times."""
    seconds: dict[K, list[float]] = {key: [] for key in engines}
    for _ in range(blocks):
        for key, engine in engines.items():
            time.sleep(PAUSE_SECONDS)
            for i in range(WARM_UP + CALLS):
                start = time.perf_counter()
                engine.run(crop)
                if i >= WARM_UP:
                    seconds[key].append(time.perf_counter() - start)
    return {key: 1000 * statistics.median(values) for key, values in seconds.items()}


def _read(cache: Path, possible: Sequence[Backend]) -> Selection | None:
    """The cached selection; None if there is none, or if it is not one of ``possible``."""
    try:
        selection = Selection(**json.loads(cache.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    whole = isinstance(selection.times, dict) and isinstance(selection.refused, dict)
    return selection if whole and (selection.device, selection.precision) in possible else None


def _cache_file(bundle: Bundle, possible: Sequence[Backend], threads: int | None) -> Path:
    """A file named after everything that the result depends on, so that another machine, library version or bundle is
    measured again."""
    versions = []
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            versions.append((name, version(name)))
    # Machines may share a home, and a container may start with or without a GPU, or with other cores.
    gpus = [name for name in GPUS if Path(name).exists()], os.environ.get("CUDA_VISIBLE_DEVICES")
    # The first number rises when what is measured, or what is refused, changes.
    files = sorted({**bundle.network.card.files, **bundle.card.files}.items())
    parts = (3, processor(), usable_cores(), gpus, versions, files, threads, list(possible))
    return cache_folder() / "choices" / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:20]}.json"
