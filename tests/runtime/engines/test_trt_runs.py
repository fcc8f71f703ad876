"""TensorRT at work, against doubles of its module and CUDA's: batches, memory, failures and threads."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recording_cuda import Double
from threads_at_once import together
from toy_outputs import check, crops

from mien.errors import EngineUnavailable, InputError

Use = Callable[..., Any]


def test_outputs_are_those_of_each_crop(make: Use) -> None:
    engine = make()
    assert engine.name == "tensorrt/10.9/sm_87/cuda-bindings"
    batch = crops(5)
    outputs = engine.run(batch)
    check(outputs, batch)
    check(engine.run(batch[:, ::-1]), batch[:, ::-1])  # need not be contiguous
    engine.run(crops(5, seed=1))
    check(outputs, batch)  # results are the caller's own


def test_more_than_the_plan_takes_goes_in_turns(make: Use, double: Double) -> None:
    batch = crops(40)
    check(make().run(batch), batch)
    assert [shape[0] for shape in double.what("execute_async_v3")] == [16, 16, 8]


def test_memory_is_pinned_reused_and_grown_only_for_more(make: Use, double: Double) -> None:
    engine = make()
    for count in (8, 5, 7, 8):
        batch = crops(count)
        check(engine.run(batch), batch)
    assert double.count["cudaMalloc"] == double.count["cudaHostAlloc"] == double.count["set_tensor_address"] == 4
    assert double.count["cudaFree"] == 0
    batch = crops(9)
    check(engine.run(batch), batch)
    assert double.count["cudaMalloc"] == double.count["cudaHostAlloc"] == double.count["set_tensor_address"] == 8
    assert double.count["cudaFree"] == double.count["cudaFreeHost"] == 4
    copies = double.what("cudaMemcpyAsync")[-4:]
    assert copies[0] == (batch.nbytes, "cudaMemcpyHostToDevice", 4242)
    assert [(size, kind) for size, kind, _ in copies[1:]] == [
        (4 * 9 * width, "cudaMemcpyDeviceToHost") for width in (8, 2, 16)
    ]
    assert double.count["cudaStreamSynchronize"] == 5


def test_memory_is_given_back(make: Use, double: Double) -> None:
    engine = make()
    engine.run(crops(5))
    assert len(double.held) == 8
    del engine
    gc.collect()
    assert double.held == {}
    assert double.count["cudaStreamDestroy"] == 1


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (np.zeros((1, 6, 6, 3), np.float32), "float32"),
        (np.zeros((1, 6, 7, 3), np.uint8), r"\(1, 6, 7, 3\).*6x6x3"),
        (np.zeros((6, 6, 3), np.uint8), r"\(6, 6, 3\)"),
        (np.zeros((0, 6, 6, 3), np.uint8), "one or more"),
    ],
)
def test_a_batch_of_another_kind_is_refused(make: Use, batch: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make().run(batch)


@pytest.mark.parametrize(("call", "words"), [("cudaMalloc", "out of memory"), ("execute_async_v3", "could not run")])
def test_after_a_failure_it_runs_again(make: Use, double: Double, call: str, words: str) -> None:
    engine, batch = make(), crops(5)
    double.fail[call] = 1
    with pytest.raises(EngineUnavailable, match=words):
        engine.run(batch)
    check(engine.run(batch), batch)


def test_threads_take_turns(make: Use) -> None:
    engine = make()

    def work(i: int) -> None:
        for turn in range(15):
            batch = crops(1 + (i + turn) % 20, seed=100 * i + turn)
            check(engine.run(batch), batch)

    together(6, work)
