"""Facts about the machine: processor, memory, GPU, and the libraries that mien uses."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from mien.diagnostics.jetson import clocks, is_jetson, power_mode
from mien.engines import DEVICES, cores, has_library
from mien.engines.cores import features, processor, read, usable_cores
from mien.engines.providers import PROVIDERS
from mien.errors import LibraryBroken
from mien.packages import CUDA, ONNXRUNTIME, OPENCV, broken, check_opencv, clashes, installed

FEATURES = {
    **{name: name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")},
    **{"asimd": "asimd", "asimddp": "dotprod", "i8mm": "i8mm"},
}
"""Linux's name of a processor feature that makes networks fast -> its usual name. The first line is for x86, the second
for ARM."""

TRIED = ("openvino", *(name for name, provider in PROVIDERS.items() if provider.tried))
"""Devices that this project has run."""

Facts = dict[str, Any]
"""By name: text, numbers, lists of text, or nested facts; suitable for JSON."""
Problems = dict[str, bool]
"""Message with the remedy -> True if something necessary does not work, False for a warning."""


def machine() -> Facts:
    """Python, system, processor, memory and GPUs. If a fact cannot be determined, it says why."""
    facts: dict[str, Callable[[], Any]] = {
        "python": _python,
        "system": _system,
        "board": _board,
        "processor": processor,
        "features": _features,
        "cores": os.cpu_count,
        "usable_cores": usable_cores,
        "memory": _memory,
        "gpus": _gpus,
    }
    if is_jetson():
        facts |= {"power_mode": power_mode, "clocks": clocks}
    return {name: _known(fact) for name, fact in facts.items()}


def libraries() -> tuple[Facts, Problems]:
    """Versions, what OpenCV and the engines' libraries find on this machine, and problems with their remedies."""
    problems: Problems = {}
    facts: Facts = {"numpy": np.__version__, "opencv": None, "opencv_packages": installed(OPENCV)}
    try:
        check_opencv()
        facts.update(_opencv(import_module("cv2")))
    except LibraryBroken as error:
        facts["opencv"] = "does not work"
        problems[str(error)] = True
    problems.update(dict.fromkeys(clashes(), False))
    for device, name, look in (
        ("cpu", "onnxruntime", _onnxruntime),
        ("openvino", "openvino", _openvino),
        ("tensorrt", "tensorrt", lambda _: {"cuda_memory": next(iter(installed(CUDA)), None)}),
    ):
        facts[name] = None
        if not has_library(device):
            continue
        try:
            module = import_module(name)
            facts[name] = str(module.__version__)
            facts.update(look(module))
        except Exception as error:  # an incomplete library may raise anything
            facts[name] = "installed, but does not work"
            problems[broken(name, f"{type(error).__name__}: {error}")] = False
    facts["devices"] = {name: _device(name, facts.get("onnxruntime_providers", ())) for name in DEVICES}
    return facts, problems


def _device(name: str, providers: Sequence[str]) -> str:
    """Whether the library of a device is here, and whether the project ever ran it. ``providers``: what the installed
    ONNX Runtime has."""
    provider, here = PROVIDERS.get(name), has_library(name)
    if provider is not None and provider.name not in providers:
        here = here and bool(provider.plugin) and find_spec(provider.plugin) is not None
    return ("installed" if here else "not installed") + ("" if name in TRIED else ", not tried by us")


def _known(fact: Callable[[], Any]) -> Any:
    try:
        return fact()
    except Exception as error:  # whatever it is, the rest of the report is still useful
        return f"not known ({type(error).__name__}: {error})"


def _python() -> str:
    kind = f"{platform.python_implementation()}, {sys.maxsize.bit_length() + 1} bit"
    return f"{platform.python_version()} {kind}, {'virtual' if sys.prefix != sys.base_prefix else 'system'} environment"


def _system() -> str:
    name = ""
    with suppress(OSError):
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return ", ".join(filter(None, (platform.platform(), name)))


def _board() -> str | None:
    """The name of the board, for Jetsons and others that have one."""
    tegra = read("etc/nv_tegra_release").splitlines()
    return ", ".join(filter(None, (read("proc/device-tree/model"), *tegra[:1]))) or None


def _features() -> list[str] | str:
    flags = features()
    if not flags:
        return "not known (no list in /proc/cpuinfo)"
    return [usual for name, usual in FEATURES.items() if name in flags]


def _memory() -> str:
    lines = (line.split() for line in read("proc/meminfo").splitlines())
    kilobytes = {words[0]: int(words[1]) for words in lines if len(words) > 1}
    if "MemTotal:" in kilobytes:
        total, free = (kilobytes.get(name, 0) * 1024 / 1e9 for name in ("MemTotal:", "MemAvailable:"))
        return f"{total:.1f} GB, {free:.1f} GB available"
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB"


def _gpus() -> list[str]:
    """NVIDIA GPUs according to nvidia-smi, or to the driver if the tool is missing, as in some containers."""
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        return lines if done.returncode == 0 else [f"nvidia-smi fails: {' '.join((done.stdout + done.stderr).split())}"]
    models = sorted(cores.ROOT.glob("proc/driver/nvidia/gpus/*/information"))
    found = [line.partition(":")[2].strip() for path in models for line in read(str(path)).splitlines()[:1]]
    return found + read("proc/driver/nvidia/version").splitlines()[:1]


def _opencv(module: ModuleType) -> Facts:
    registry = module.videoio_registry

    def backends() -> list[str]:
        there = [backend for backend in registry.getBackends() if registry.hasBackend(backend)]
        return list(dict.fromkeys(registry.getBackendName(backend) for backend in there))

    return {
        "opencv": module.__version__,
        "video_backends": _known(backends),
        "windows": _known(lambda: module.currentUIFramework() or None),
        "gstreamer": _known(lambda: registry.hasBackend(module.CAP_GSTREAMER)),
    }


def _onnxruntime(module: ModuleType) -> Facts:
    return {"onnxruntime_packages": installed(ONNXRUNTIME), "onnxruntime_providers": module.get_available_providers()}


def _openvino(module: ModuleType) -> Facts:
    core = module.Core()
    names = {device: str(core.get_property(device, "FULL_DEVICE_NAME")) for device in core.available_devices}
    return {"openvino_devices": [f"{device} ({name.strip()})" for device, name in names.items()]}
