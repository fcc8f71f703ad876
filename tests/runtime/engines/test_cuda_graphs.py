"""Small batches as CUDA graphs, against doubles of TensorRT and CUDA: what a capture allows, and when there is none."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recording_cuda import Double
from threads_at_once import together
from toy_outputs import check, crops

from mien.errors import EngineUnavailable

Use = Callable[..., Any]


def test_from_the_third_batch_on_a_size_is_one_launch(make: Use, double: Double) -> None:
    engine = make()
    for seed in range(4):
        for count in (1, 3):
            batch = crops(count, seed=seed)
            check(engine.run(batch), batch)
    # Each size ran once, was captured, and its graph was tried; since then only launches.
    assert double.what("execute_async_v3") == [(1, 6, 6, 3), (1, 6, 6, 3), (3, 6, 6, 3), (3, 6, 6, 3)]
    assert double.count["cudaStreamBeginCapture"] == double.count["cudaStreamEndCapture"] == 2
    assert double.what("cudaStreamBeginCapture") == ["cudaStreamCaptureModeThreadLocal"] * 2
    assert double.count["cudaGraphInstantiate"] == double.count["cudaGraphDestroy"] == 2
    assert double.count["cudaGraphLaunch"] == 2 * (1 + 3)


def test_results_of_a_graph_are_the_callers_own(make: Use) -> None:
    engine, batch = make(), crops(2)
    engine.run(batch)
    outputs = engine.run(batch)
    engine.run(crops(2, seed=1))
    check(outputs, batch)


def test_more_crops_than_four_have_no_graph(make: Use, double: Double) -> None:
    engine = make()
    for count in (5, 16, 5):
        batch = crops(count)
        check(engine.run(batch), batch)
    assert double.count["cudaStreamBeginCapture"] == 0


def test_pictures_of_any_size_have_no_graph(make: Use, double: Double) -> None:
    double.shape = (-1, -1, -1, 3)
    engine = make()
    for side in (32, 64, 32):
        batch = np.ones((1, side, side, 3), np.uint8)
        assert engine.run(batch)["expression"][0, 0] == 3 * side**2
    assert double.count["cudaStreamBeginCapture"] == 0


def test_a_dla_has_no_graph(make: Use, double: Double) -> None:
    engine = make("dla:0")
    check(engine.run(crops(1)), crops(1))
    check(engine.run(crops(1)), crops(1))
    assert double.count["cudaStreamBeginCapture"] == 0


@pytest.mark.parametrize(
    "call", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaGraphLaunch"]
)
def test_without_a_graph_it_runs_as_ever(
    make: Use, double: Double, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make()
    double.fail[call] = 1
    with caplog.at_level(logging.INFO, "mien"):
        for count in (2, 2, 1):
            batch = crops(count)
            check(engine.run(batch), batch)
    assert "without CUDA graphs: CUDA: out of memory" in caplog.text
    assert double.count["cudaStreamBeginCapture"] == 1  # and is not tried again
    assert len(double.held) == 8  # the memory of the context that was made for it is given back


def test_work_that_fails_while_it_is_captured_leaves_the_stream_usable(make: Use, double: Double) -> None:
    engine, batch = make(), crops(2)
    run = engine._execution._context.__class__.execute_async_v3

    def once(context: Any, stream: int) -> bool:
        return double.capturing is None and run(context, stream)

    engine._execution._context.__class__.execute_async_v3 = once
    for _ in range(3):
        check(engine.run(batch), batch)
    assert double.capturing is None


def test_a_graph_with_other_outputs_is_not_used(make: Use, double: Double, caplog: pytest.LogCaptureFixture) -> None:
    engine, batch = make(), crops(1)
    launch = engine._memory.capture

    def wrong(work: Callable[[], None]) -> Callable[[], None]:
        launch(work)
        return lambda: double.held.update({key: type(value)() for key, value in double.held.items()})

    engine._memory.capture = wrong
    check(engine.run(batch), batch)
    assert "gives other outputs" in caplog.text


def test_a_failure_of_a_later_launch_is_told(make: Use, double: Double) -> None:
    engine, batch = make(), crops(1)
    engine.run(batch)
    double.fail["cudaGraphLaunch"] = 1
    with pytest.raises(EngineUnavailable, match="CUDA: out of memory"):
        engine.run(batch)
    check(engine.run(batch), batch)


def test_threads_take_turns_with_graphs_too(make: Use) -> None:
    engine = make()

    def work(i: int) -> None:
        for turn in range(10):
            batch = crops(1 + (i + turn) % 6, seed=100 * i + turn)
            check(engine.run(batch), batch)

    together(5, work)


def test_graphs_and_their_memory_are_given_back(make: Use, double: Double) -> None:
    engine = make()
    for count in (1, 2, 5):
        engine.run(crops(count))
    del engine
    gc.collect()
    assert double.held == {}
    assert double.count["cudaGraphExecDestroy"] == 2
    assert double.count["cudaStreamDestroy"] == 1
