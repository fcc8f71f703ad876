"""SharedEngine: those who wait at the same moment share one call, and get what a call alone would give."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from waiting import wait_for

from mien.engines.shared import SharedEngine
from mien.types import Floats, Image


class Gated:
    """An engine that answers only while it is allowed to, and tells the sizes of its calls."""

    name = "gated"

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.open = threading.Event()

    def run(self, batch: Image) -> Mapping[str, Floats]:
        self.calls.append(len(batch))
        assert self.open.wait(5)
        if (batch == 255).any():
            raise RuntimeError("out of memory")
        return {"mean": batch.reshape(len(batch), -1).mean(axis=1, keepdims=True).astype(np.float32)}


def crops(*values: int) -> Image:
    return np.stack([np.full((2, 2, 3), value, np.uint8) for value in values])


def test_those_who_wait_share_a_call_and_each_gets_its_own() -> None:
    engine = Gated()
    shared = SharedEngine(engine)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(shared.run, crops(1))
        wait_for(lambda: engine.calls == [1])
        later = [pool.submit(shared.run, crops(*values)) for values in ((2, 3), (4,), (5, 6, 7))]
        wait_for(lambda: len(shared._waiting) == 3)
        engine.open.set()
        assert first.result()["mean"].ravel().tolist() == [1]
        assert [one.result()["mean"].ravel().tolist() for one in later] == [[2, 3], [4], [5, 6, 7]]
    assert engine.calls == [1, 6]
    assert shared.run(crops(9))["mean"].shape == (1, 1)
    assert shared.name == "gated"


def test_an_error_comes_out_at_all_who_share_the_call_and_at_nobody_else() -> None:
    engine = Gated()
    shared = SharedEngine(engine)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(shared.run, crops(1))
        wait_for(lambda: engine.calls == [1])
        later = [pool.submit(shared.run, crops(value)) for value in (2, 255)]
        wait_for(lambda: len(shared._waiting) == 2)
        engine.open.set()
        assert first.result()["mean"].ravel().tolist() == [1]
        for one in later:
            with pytest.raises(RuntimeError, match="out of memory"):
                one.result()
    assert shared.run(crops(3))["mean"].ravel().tolist() == [3]


def test_many_threads_lose_nothing() -> None:
    engine = Gated()
    engine.open.set()
    shared = SharedEngine(engine)

    def work(value: int) -> list[list[float]]:
        return [shared.run(crops(value, value + 100))["mean"].ravel().tolist() for _ in range(200)]

    with ThreadPoolExecutor(8) as pool:
        for value, got in enumerate(pool.map(work, range(8))):
            assert got == [[value, value + 100]] * 200
    assert sum(engine.calls) == 8 * 200 * 2
