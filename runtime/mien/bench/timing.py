"""Timing of work in turns, so that a machine that gets hot or busy affects all of it equally; and resource usage."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mien.diagnostics.machine import Facts
from mien.diagnostics.selftest import words
from mien.engines.selection import BLOCKS, PAUSE_SECONDS, WARM_UP, K

STATUS = Path("/proc/self/status")
BUSY_LOAD_PER_CORE = 0.5
"""A higher load average per core means that the machine is busy."""

Steps = Generator[None, None, None]


@dataclass
class Samples:
    """Samples of one kind of work: seconds of each call, processor seconds of all calls, and why it failed, if so."""

    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0
    failed: str = ""


def turns(works: Mapping[K, Callable[[], object]], samples: Mapping[K, Samples], seconds: float) -> Steps:
    """Fill ``samples`` with ``seconds`` of calls of each work, in BLOCKS turns; yields after each turn.

    There is a pause before each turn, as in ``engines/selection.py``. Work that raises is not called again.
    """
    for _ in range(BLOCKS):
        for key, work in works.items():
            if not samples[key].failed:
                time.sleep(PAUSE_SECONDS)
                try:
                    _turn(work, samples[key], seconds / BLOCKS)
                except Exception as error:  # the engines' errors have no common class
                    samples[key].failed = words(error)
            yield


def _turn(work: Callable[[], object], samples: Samples, seconds: float) -> None:
    warm = time.perf_counter() + seconds
    for _ in range(WARM_UP):
        work()
        if time.perf_counter() > warm:
            break
    cpu, now = time.process_time(), time.perf_counter()
    end = now + seconds
    try:
        while now < end:
            start = now
            work()
            now = time.perf_counter()
            samples.seconds.append(now - start)
    finally:
        samples.cpu += time.process_time() - cpu


def failures(samples: Mapping[K, Samples]) -> dict[str, list[str]]:
    """Reason -> the work that failed for that reason."""
    found: dict[str, list[str]] = {}
    for key, taken in samples.items():
        if taken.failed:
            found.setdefault(taken.failed, []).append(str(key))
    return found


def figures(seconds: Sequence[float], cpu: float, each: int = 1) -> Facts:
    """Statistics of calls that process ``each`` items: ``seconds`` of each call, ``cpu`` seconds of all of them.

    ``per_second`` counts items. ``cores`` is processor time over time, over all threads: how many cores were busy.
    ``per_second_per_core`` is items per second of processor time, None if the system measured none.
    """
    total, items = sum(seconds), each * len(seconds)
    milliseconds = 1000 * np.asarray(seconds)
    return {
        "calls": len(seconds),
        "median_ms": round(float(np.median(milliseconds)), 4),
        "p95_ms": round(float(np.percentile(milliseconds, 95)), 4),
        "per_second": round(items / total, 3),
        "cores": round(cpu / total, 3),
        "per_second_per_core": round(items / cpu, 3) if cpu > 0 else None,
    }


def memory() -> tuple[float | None, float | None]:
    """Memory in MB that this process uses now, and its maximum. None if unknown.

    Linux's own count is preferred: a child's ``ru_maxrss`` starts at that of its parent.
    """
    with suppress(OSError, LookupError, ValueError):
        lines = (line.split() for line in STATUS.read_text(encoding="utf-8").splitlines())
        kilobytes = {line[0]: int(line[1]) for line in lines if line and line[0] in ("VmRSS:", "VmHWM:")}
        return kilobytes["VmRSS:"] * 1024 / 1e6, kilobytes["VmHWM:"] * 1024 / 1e6
    with suppress(ImportError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return None, most * (1 if sys.platform == "darwin" else 1024) / 1e6
    return None, None


def doubts(cores: int, usable: float, load: float | None) -> list[str]:
    """Reasons to doubt timings: the ``load`` average of all ``cores``, and how many cores the process may use."""
    found = []
    if load is not None and load > BUSY_LOAD_PER_CORE * cores:
        found.append(f"other programs keep this machine busy (load {load:g} on {cores} cores), so times are noisy")
    if usable < cores:
        found.append(f"only {usable:g} of {cores} cores may be used here (affinity, or the quota of a container)")
    return found
