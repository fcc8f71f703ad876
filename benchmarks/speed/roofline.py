"""What this machine can do at most: multiply-accumulates a second by a matrix product, bytes a second by a copy."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mien.bench.timing import Samples, turns

SIZES = {"fp32": (256, 384, 512, 768), "int8": (256, 384, 512, 768)}
"""Edges of the square matrices. They reach the plateau while all three fit into a usual cache."""
BYTES = {"one core's cache": 400_000, "shared cache": 8_000_000, "memory": 200_000_000}
"""Read and written by one copy: as much as a layer's activations, a small network's weights, and more than caches."""
LEAST = 40_000_000
"""Bytes that one call moves, in as many copies as that takes, so that what Python does around them does not count."""

K = TypeVar("K")


@dataclass(frozen=True)
class Taken:
    """Seconds of one call: the median, and what a tenth of the calls stay under. A wide gap tells of a busy machine."""

    median: float
    tenth: float
    calls: int


def product(size: int, precision: str) -> onnx.ModelProto:
    """An ONNX model: ``x`` (size, size) times a constant of that shape. float32, or for int8 a MatMulInteger of uint8
    by int8, which is what the processor's dot products take."""
    rng = np.random.default_rng(0)
    shape = [size, size]
    if precision == "fp32":
        kind, given, made = "MatMul", TensorProto.FLOAT, TensorProto.FLOAT
        constant = rng.standard_normal(shape).astype(np.float32)
    else:
        kind, given, made = "MatMulInteger", TensorProto.UINT8, TensorProto.INT32
        constant = rng.integers(-127, 128, shape, np.int8)
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", given, shape)],
        [helper.make_tensor_value_info("y", made, shape)],
        [numpy_helper.from_array(constant, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def left_matrix(size: int, precision: str) -> np.ndarray[Any, Any]:
    """What ``product`` takes."""
    rng = np.random.default_rng(1)
    if precision == "fp32":
        return rng.standard_normal((size, size)).astype(np.float32)
    return rng.integers(0, 256, (size, size), np.uint8)


def bandwidths(threads: int, seconds: float = 1.0) -> dict[str, float]:
    """GB/s read and written, by the place of BYTES: the median of several copies. Each thread copies its own part; of
    its own cache's size there is one part a thread."""
    own = next(iter(BYTES))
    total = {place: size * (threads if place == own else 1) for place, size in BYTES.items()}
    repeats = {place: -(-LEAST // size) for place, size in total.items()}
    with ThreadPoolExecutor(threads) as pool:
        copies = {place: _copier(pool, threads, size, repeats[place]) for place, size in total.items()}
        times = timed(copies, seconds)
    return {place: round(repeats[place] * total[place] / times[place].median / 1e9, 1) for place in BYTES}


def _copier(pool: ThreadPoolExecutor, threads: int, size: int, repeats: int) -> Callable[[], object]:
    """Work that reads and writes ``size`` bytes ``repeats`` times, shared out among the threads."""
    ones = [np.ones(size // 8 // threads, np.float32) for _ in range(threads)]
    pairs = [(np.empty_like(part), part) for part in ones]

    def work(pair: tuple[Any, Any]) -> None:
        for _ in range(repeats):  # numpy lets go of the interpreter while it copies
            np.copyto(*pair)

    return partial(work, pairs[0]) if threads == 1 else lambda: list(pool.map(work, pairs))


def timed(works: Mapping[K, Callable[[], object]], seconds: float) -> dict[K, Taken]:
    """Seconds of one call of each work: all have their turns, for ``seconds`` in all, each at least one call a turn."""
    samples = {key: Samples() for key in works}
    for _ in turns(works, samples, seconds / max(1, len(works))):
        pass
    for key, taken in samples.items():
        if taken.failed:
            raise RuntimeError(f"{key}: {taken.failed}")
    return {
        key: Taken(statistics.median(taken.seconds), float(np.quantile(taken.seconds, 0.1)), len(taken.seconds))
        for key, taken in samples.items()
    }
