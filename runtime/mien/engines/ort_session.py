"""Sessions of ONNX Runtime that run where they were asked to: another provider in its place is an error."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import onnxruntime as ort

from mien.engines.providers import PROVIDERS, Provider
from mien.errors import EngineUnavailable, MienError, ModelInvalid, OutputError
from mien.files import cache_folder, sha256
from mien.paths import for_native
from mien.per_process import NO_FORK

# For programs that imported onnxruntime before mien; see mien/__init__.py.
ort.disable_telemetry_events()

BATCHES = (1, 4, 16)
"""Smallest, usual and largest batch that TensorRT prepares for; a larger one is split."""
CPU = PROVIDERS["cpu"].name

_REGISTERING = threading.Lock()
_LOGGER = logging.getLogger("mien")


def open_session(path: Path, device: str, threads: int | None, first: int) -> ort.InferenceSession:
    """A session for the file ``path`` on ``device``. ``first``: id of the process that opened the engine.

    Raises EngineUnavailable if ONNX Runtime would run the model, or all its operators, on another provider.
    """
    if device != "cpu" and first != os.getpid():
        raise EngineUnavailable(f"device {device!r} {NO_FORK}")
    provider = PROVIDERS[device]
    hardware = _hardware(provider)
    if not hardware and provider.name not in ort.get_available_providers():
        raise EngineUnavailable(
            f"the installed onnxruntime {ort.__version__} has no {provider.name}; {provider.remedy}"
        )
    options = _session_options(device, threads)
    given = dict(provider.options)
    if provider.threads and threads:
        given[provider.threads] = str(threads)
    # Nodes that TensorRT does not know run on CUDA.
    more = [PROVIDERS["cuda"].name] if device == "ort-tensorrt" else []
    if device == "ort-tensorrt":
        given = tensorrt_options(path)
    if provider.one_by_one and isinstance(free := _input(path).shape[0], str):
        options.add_free_dimension_override_by_name(free, 1)
    providers: list[Any] | None = [(provider.name, given) if given else provider.name, *more]
    try:
        if hardware:
            options.add_provider_for_devices(hardware, given)
            providers = None
        with for_native(path) as name:
            session = ort.InferenceSession(name, options, providers=providers)
    except MienError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions come from C++ and share no useful base class
        raise ModelInvalid(f"onnxruntime {ort.__version__} cannot load {path}: {error}") from error
    active = session.get_providers()[0]
    if active != provider.name:
        needs = {"cuda": "CUDA and cuDNN", "ort-tensorrt": "that TensorRT, CUDA and cuDNN are installed"}
        check = needs.get(device, "its driver, or use device 'cpu'")
        raise EngineUnavailable(f"asked for {provider.name}, but onnxruntime would run {active}; check {check}")
    _check_placed(session, provider, path)
    return session


def placed(session: ort.InferenceSession) -> dict[str, int]:
    """How many operators of the model each provider took; empty if this ONNX Runtime does not tell (before 1.24)."""
    try:
        parts = session.get_provider_graph_assignment_info()
    except AttributeError:
        return {}
    counts: Counter[str] = Counter()
    for part in parts:
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts)


def _check_placed(session: ort.InferenceSession, provider: Provider, path: Path) -> None:
    """Raise EngineUnavailable if no operator runs on the provider, and warn of those that run on the CPU instead."""
    counts = placed(session)
    if not counts or provider.name == CPU:
        return
    if not counts.get(provider.name):
        raise EngineUnavailable(
            f"{provider.name} takes no operator of {path}, so all would run on the CPU; use device 'cpu', or another "
            "precision"
        )
    if counts.get(CPU):
        total = sum(counts.values())
        _LOGGER.warning("%d of %d operators of %s run on the CPU, not on %s", counts[CPU], total, path, provider.name)


def _session_options(device: str, threads: int | None) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    # Otherwise its threads spin after each call, on the cores that decode frames and search for faces meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # x86 without VNNI adds products of 8 bits in 16, which overflow: a quarter of the labels of an int8 model came out
    # wrong. There, and only there, this makes it exact, and slower than fp32.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for placed()
    if device == "ort-tensorrt":
        # TensorRT must see the Q and DQ nodes unchanged; ONNX Runtime would fuse some of them first.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if device == "directml":
        options.enable_mem_pattern = False
    if device == "xnnpack":  # which has threads of its own
        options.intra_op_num_threads = 1
    return options


def _hardware(provider: Provider) -> list[Any]:
    """What the provider's plugin can run on here: one device of the right kind; empty if the plugin is not installed.

    Raises EngineUnavailable if the plugin is there, and such a device is not.
    """
    if not provider.plugin:
        return []
    try:
        plugin = import_module(provider.plugin)
    except ModuleNotFoundError:
        return []
    if not hasattr(ort, "register_execution_provider_library"):
        raise EngineUnavailable(f"{provider.plugin} needs onnxruntime 1.24 or newer; run: pip install -U onnxruntime")
    with _REGISTERING:
        if not any(found.ep_name == provider.name for found in ort.get_ep_devices()):
            try:
                ort.register_execution_provider_library(provider.name, plugin.get_library_path())
            except Exception as error:
                raise EngineUnavailable(f"{provider.plugin} does not work with this onnxruntime: {error}") from error
        found = [here for here in ort.get_ep_devices() if here.ep_name == provider.name]
    fitting = [here for here in found if here.device.type.name == provider.unit]
    if not fitting:
        others = ", ".join(sorted({here.device.type.name for here in found})) or "nothing"
        raise EngineUnavailable(
            f"{provider.name} finds no {provider.unit} on this machine (it finds: {others}); use device 'cpu'"
        )
    return fitting[:1]


def _input(path: Path) -> Any:
    with for_native(path) as name:
        return ort.InferenceSession(name, providers=[CPU]).get_inputs()[0]


def tensorrt_options(path: Path) -> dict[str, Any]:
    """Options of the TensorRT provider for ``path``, an ONNX file with a free batch size and a fixed crop size.

    They are documented at https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html.
    ``trt_fp16_enable`` and ``trt_int8_enable`` stay off, so that the types in the file decide: a float32 file is
    computed in float32, and the bundle's fp16 and int8 files in their own types.
    """
    crops = _input(path)
    if not all(isinstance(size, int) for size in crops.shape[1:]):
        raise ModelInvalid(f"device 'ort-tensorrt' runs models with an input of one size, not {path}; use 'tensorrt'")
    least, usual, most = (f"{crops.name}:{'x'.join(map(str, (n, *crops.shape[1:])))}" for n in BATCHES)
    # A cached engine is named after the model's path, GPU and versions, not after its content: hence one folder each.
    cache = cache_folder() / "ort-tensorrt"
    engines = cache / f"{sha256(path)[:16]}-{ort.__version__}"
    try:
        engines.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {engines}: {error.strerror}; set MIEN_CACHE to a folder that can") from error
    return {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
        "trt_profile_min_shapes": least,
        "trt_profile_opt_shapes": usual,
        "trt_profile_max_shapes": most,
    }
