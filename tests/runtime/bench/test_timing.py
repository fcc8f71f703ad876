"""Work in turns, its time, that of the processor, and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mien.bench.timing
from mien.bench.timing import Samples, failures, figures, memory, turns

pytest.importorskip("onnxruntime")


def test_work_is_done_in_turns() -> None:
    done: list[str] = []

    def fail() -> None:
        done.append("c")
        if done.count("c") == 5:
            raise RuntimeError("no more")

    works = {"a": lambda: done.append("a"), "b": lambda: done.append("b"), "c": fail}
    samples = {name: Samples() for name in works}
    steps = list(turns(works, samples, 0.2))  # time enough for five calls in a turn on a busy machine, too
    assert len(steps) == len(works) * mien.bench.timing.BLOCKS
    changes = [name for i, name in enumerate(done) if i == 0 or done[i - 1] != name]
    assert changes == list("abc" + "ab" * (mien.bench.timing.BLOCKS - 1))
    assert len(samples["a"].seconds) == done.count("a") - mien.bench.timing.BLOCKS * mien.bench.timing.WARM_UP
    assert failures(samples) == {"RuntimeError: no more": ["c"]}
    assert len(samples["c"].seconds) == 1


def test_slow_work_does_not_overrun_its_time() -> None:
    samples = {"slow": Samples()}
    start = time.perf_counter()
    for _ in turns({"slow": lambda: time.sleep(0.05)}, samples, 0.05):
        pass
    assert time.perf_counter() - start < 1.5  # a warm-up and a counted call in each of five turns
    assert len(samples["slow"].seconds) == mien.bench.timing.BLOCKS


PROCESSOR_TIME = """
import json, threading, time
import numpy as np
from mien.bench.timing import Samples, figures, turns

def spin():  # numpy lets go of the interpreter while it multiplies, so that two threads keep two cores busy
    square, end = np.ones((160, 160)), time.thread_time() + 0.02
    while time.thread_time() < end:
        square @ square

def both():
    threads = [threading.Thread(target=spin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

works = {"sleep": lambda: time.sleep(0.02), "one": spin, "two": both}
samples = {name: Samples() for name in works}
for _ in turns(works, samples, 0.1):
    pass
print(json.dumps({name: figures(taken.seconds, taken.cpu) for name, taken in samples.items()}))
"""


def test_processor_time_is_what_was_really_used() -> None:
    """In a process of its own, with no threads of numpy's that spin while it sleeps."""
    command = [sys.executable, "-c", PROCESSOR_TIME]
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    made = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=alone).stdout)
    assert made["sleep"]["cores"] < 0.2
    assert 0.2 < made["one"]["cores"] < 1.1
    # However busy the machine is, a core gives half as many of what takes twice the work.
    assert made["one"]["per_second_per_core"] == pytest.approx(2 * made["two"]["per_second_per_core"], rel=0.35)


def test_figures() -> None:
    made = figures([0.010] * 18 + [0.020, 0.100], cpu=0.6, each=4)
    assert made == {
        "calls": 20,
        "median_ms": 10,
        "p95_ms": 24,
        "per_second": pytest.approx(80 / 0.3, abs=1e-3),
        "cores": 2,
        "per_second_per_core": pytest.approx(80 / 0.6, abs=1e-3),
    }
    assert figures([0.01], cpu=0.0)["per_second_per_core"] is None


def test_memory_is_the_processes_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A child's ru_maxrss would start at what its parent holds."""
    before, _ = memory()
    ballast = np.ones(400_000_000 // 8)
    held, peak = memory()
    if before is None or held is None:
        pytest.skip("this system does not tell how much memory a process holds")
    assert peak is not None
    assert held > before + 350
    code = "from mien.bench.timing import memory; print(memory()[1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 10 < float(done.stdout) < 300
    del ballast
    assert memory()[0] < held - 350  # type: ignore[operator]
    assert memory()[1] > 0.99 * peak  # type: ignore[operator]
    monkeypatch.setattr(mien.bench.timing, "STATUS", tmp_path / "none")
    now, most = memory()
    assert now is None
    assert most == pytest.approx(peak, rel=0.1)
