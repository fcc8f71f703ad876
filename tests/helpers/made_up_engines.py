"""Engines with made-up speeds, on a clock that only they move, and what ``auto`` picks of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mien.bundle import FILES, IR_FILES, Bundle
from mien.engines.selection import Backend, select_backend
from mien.errors import EngineUnavailable
from mien.types import Floats, Image

PASSED = {"int8": {"passed": True}, "fp16": {"passed": True}}


@dataclass
class Lab:
    """Seconds a call, or what goes wrong, by device and precision; what was opened and how often each ran."""

    speeds: dict[Backend, float | Exception] = field(default_factory=dict)
    breaks: dict[Backend, Exception] = field(default_factory=dict)
    opened: list[Backend] = field(default_factory=list)
    runs: list[Backend] = field(default_factory=list)
    now: float = 0.0

    def load(self, path: Path, *, device: str, threads: int | None, precision: str) -> Runner:
        way = device, precision
        assert path.name in (FILES[precision], IR_FILES.get(precision))
        assert precision == way[1]
        self.opened.append(way)
        speed = self.speeds.get(way, EngineUnavailable(f"{device} is not there"))
        if isinstance(speed, Exception):
            raise speed
        return Runner(self, way, speed)

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Runner:
    lab: Lab
    way: Backend
    seconds: float
    name: str = "runner"

    def run(self, batch: Image) -> dict[str, Floats]:
        assert batch.shape == (1, 112, 112, 3)
        assert batch.dtype == np.uint8
        if self.way in self.lab.breaks:
            raise self.lab.breaks[self.way]
        self.lab.runs.append(self.way)
        self.lab.now += self.seconds
        return {}


def picked(bundle: Bundle, *args: str, **options: bool) -> Backend:
    choice = select_backend(bundle, *args, **options)
    return choice.device, choice.precision
