"""TensorRT with PyCUDA in place of NVIDIA's own bindings, against doubles of both."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recording_cuda import Double
from threads_at_once import together
from toy_outputs import check, crops

from mien.engines import load_engine
from mien.errors import EngineUnavailable

Use = Callable[..., Any]


@pytest.fixture
def double() -> Double:
    made = Double()
    made.library = "pycuda"
    return made


def test_it_is_used_where_the_bindings_are_not_installed(make: Use, double: Double) -> None:
    engine = make()
    assert engine.name == "tensorrt/10.9/sm_87/pycuda"
    for count in (5, 1, 1, 40):
        batch = crops(count, seed=count)
        check(engine.run(batch), batch)
    assert double.count["init"] == double.count["retain_primary_context"] == 1  # TensorRT's context, not one of its own
    assert double.count["push"] == double.count["pop"]


def test_the_bindings_come_first(double: Double, make: Use) -> None:
    double.library = "cuda-bindings"
    assert make().name == "tensorrt/10.9/sm_87/cuda-bindings"


def test_memory_is_pinned_reused_and_given_back(make: Use, double: Double) -> None:
    engine = make()
    for count in (8, 5, 8, 9):
        engine.run(crops(count))
    assert double.count["mem_alloc"] == double.count["pagelocked_empty"] == 8
    assert double.count["free"] == 8
    assert double.what("memcpy_htod_async") == [108 * count for count in (8, 5, 8, 9)]
    assert double.what("memcpy_dtoh_async")[-3:] == [4 * 9 * width for width in (8, 2, 16)]
    del engine
    gc.collect()
    assert double.held == {}
    assert double.count["Stream.__del__"] == 1


def test_there_are_no_graphs_and_no_memory_for_them(make: Use, double: Double) -> None:
    engine = make()
    for _ in range(3):
        check(engine.run(crops(2)), crops(2))
    assert double.count["execute_async_v3"] == 3
    assert len(double.held) == 8


@pytest.mark.parametrize("call", ["mem_alloc", "pagelocked_empty", "memcpy_htod_async", "synchronize", "push"])
def test_after_a_failure_it_runs_again(make: Use, double: Double, call: str) -> None:
    engine, batch = make(), crops(5)
    double.fail[call] = 1
    with pytest.raises(EngineUnavailable, match=r"CUDA: .* failed: out of memory; check the GPU"):
        engine.run(batch)
    check(engine.run(batch), batch)
    assert double.count["push"] == double.count["pop"] + (call == "push")


def test_threads_each_push_the_context(make: Use) -> None:
    engine = make()

    def work(i: int) -> None:
        for turn in range(10):
            batch = crops(1 + (i + turn) % 6, seed=100 * i + turn)
            check(engine.run(batch), batch)

    together(4, work)


def test_with_neither_it_says_what_to_install(
    use: Use, onnx: Path, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    use("trt_plan")
    for name in [name for name in sys.modules if name.startswith("mien.engines.")]:
        if name.rsplit(".", 1)[1] in ("trt", "trt_plan", "trt_execution", "device_memory", "memory_pycuda"):
            monkeypatch.delitem(sys.modules, name)
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("mien.engines.has_library", lambda device: True)
    with pytest.raises(EngineUnavailable, match=r'cuda.*pip install "mien\[tensorrt\]".*"mien\[jetson\]"'):
        load_engine(onnx, device="tensorrt", precision="fp16")
