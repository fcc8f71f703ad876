"""Machines that are not there: TensorRT on a double of its GPU, and ``auto`` among engines with made-up speeds."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from made_up_engines import PASSED, Lab
from recording_cuda import Double
from recording_sessions import Sessions
from recording_tensorrt import modules
from tiny_card import change

import mien.engines.selection
from mien.bundle import FILES, Bundle, find_bundle

ENGINES = tuple(
    f"mien.engines.{name}"
    for name in ("trt", "trt_execution", "trt_plan", "device_memory", "memory_bindings", "memory_pycuda")
)
Use = Callable[..., Any]


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
def use(double: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """``use("trt_plan")``: a module of the engine as it is on the machine that ``double`` is now, freshly imported."""

    def use(name: str) -> ModuleType:
        for module in ENGINES:
            sys.modules.pop(module, None)
        for module, content in modules(double).items():
            monkeypatch.setitem(sys.modules, module, content)
        return importlib.import_module(f"mien.engines.{name}")

    yield use
    gc.collect()  # engines free their memory while their double is still there
    for module in ENGINES:
        sys.modules.pop(module, None)


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a model, which the double does not read")
    return path


@pytest.fixture
def make(use: Use, onnx: Path, tmp_path: Path) -> Use:
    """``make("dla:1")``: an engine on ``double``, of a plan that is built for it."""

    def make(device: str = "tensorrt", precision: str = "fp16") -> Any:
        trt = use("trt")
        plans = sys.modules["mien.engines.trt_plan"]
        plan = plans.plan_for(onnx, precision=precision, cache=tmp_path / "cache", dla=plans.core_of(device))
        return trt.TrtEngine(plan, device=device)

    return make


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lab:
    """``auto`` finds the engines of this lab alone, and measures them on its clock."""
    made = Lab()
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mien.engines.selection, "load_engine", made.load)
    monkeypatch.setattr(mien.engines.selection, "time", made)
    monkeypatch.setattr(
        mien.engines.selection, "has_library", lambda device: any(device == name for name, _ in made.speeds)
    )
    return made


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sessions:
    """ONNX Runtime on a machine with all providers, which compute on the CPU."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return Sessions(monkeypatch)


@pytest.fixture
def bundle(bundle_copy: Path) -> Bundle:
    """With fp16 and int8 files whose proofs passed."""
    return find_bundle(change(bundle_copy, {FILES["fp16"]: b"half", FILES["int8"]: b"quick"}, proofs=PASSED))
