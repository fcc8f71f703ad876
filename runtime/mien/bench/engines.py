"""What ``fer-bench`` times call by call: the expression model on all backends, and the detector at several sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from mien.bench.scene import scene
from mien.bench.timing import Samples, figures
from mien.bundle import FILES, Bundle
from mien.diagnostics.machine import Facts
from mien.diagnostics.selftest import words
from mien.engines import EXTRAS, Engine, has_library
from mien.engines.golden import golden_crops
from mien.engines.selection import AUTOMATIC, Backend, open_backend
from mien.errors import EngineUnavailable, ModelInvalid
from mien.types import Floats, Image
from mien.vision.detector import WINDOW_PX, Detector, load_detector

THREADED = ("cpu", "openvino")
"""Devices whose speed depends on the number of threads."""
FRAMES = ((640, 360), (1280, 720), (1920, 1080))
SMALL_FACE_PX = 24.0
"""Smallest face in the search of the largest frame for small faces."""
BARE = ((640, 384), (WINDOW_PX, WINDOW_PX), (128, 128), (96, 96))
"""Width and height in px of inputs with which the detector's engine alone is timed."""

Work = Callable[[], object]
Skipped = dict[str, list[str]]
"""Reason -> what was not measured for that reason."""


class Row(NamedTuple):
    """A configuration of the model. ``threads`` is None if the device does not use them."""

    device: str
    precision: str
    threads: int | None
    batch: int

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.threads else ""
        return f"{self.device} {self.precision}{threads}, batch {self.batch}"


REFERENCE = Row("cpu", "fp32", 1, 1)


def model_works(
    bundle: Bundle, device: str, precision: str, threads: Sequence[int], batches: Sequence[int]
) -> tuple[dict[Row, Work], Skipped]:
    """A call for each requested row that is available. The REFERENCE comes first, whether requested or not.

    Raises EngineUnavailable or ModelInvalid if no requested row is available.
    """
    skipped: Skipped = {}
    wanted = _wanted(bundle, device, precision, skipped)
    crops = golden_crops(bundle.card.crop.size)
    inputs = {batch: np.resize(crops, (batch, *crops.shape[1:])) for batch in {*batches, REFERENCE.batch}}
    works: dict[Row, Work] = {}
    errors: list[Exception] = []

    def add(backend: Backend, count: int | None, rows: Sequence[Row]) -> None:
        engine = open_backend(bundle, backend, count)
        engine.run(inputs[1])  # some libraries fail only now
        works.update((row, partial(engine.run, inputs[row.batch])) for row in rows)

    for backend in wanted:
        for count in threads if backend[0] in THREADED else (None,):
            rows = [Row(*backend, count, batch) for batch in batches]
            try:
                add(backend, count, rows)
            except Exception as error:  # an incomplete library may raise anything
                skipped.setdefault(words(error), []).append(" ".join(backend))
                errors.append(error)
                break
    if not works:
        kind = ModelInvalid if any(isinstance(error, ModelInvalid) for error in errors) else EngineUnavailable
        raise kind("; ".join(dict.fromkeys(map(words, errors))))
    if REFERENCE not in works:
        try:
            add((REFERENCE.device, REFERENCE.precision), REFERENCE.threads, [REFERENCE])
        except Exception as error:
            skipped.setdefault(words(error), []).append("the reference of the column speed")
    return {row: works[row] for row in sorted(works, key=lambda row: row != REFERENCE)}, skipped


def _wanted(bundle: Bundle, device: str, precision: str, skipped: Skipped) -> list[Backend]:
    """The requested backends. ``auto`` means every installed device except those that build for minutes, and every
    precision of the bundle."""
    devices = [device]
    if device == "auto":
        devices = [name for name in AUTOMATIC if has_library(name)]
        for name in (*AUTOMATIC, "tensorrt"):
            if not has_library(name):
                reason = f'not installed: pip install "mien[{EXTRAS.get(name, "gpu")}]"'
                skipped.setdefault(reason, []).append(name)
        slow = ["tensorrt"] * has_library("tensorrt")
        if not devices:
            devices = slow
        elif slow:
            skipped["builds for minutes: ask for it with --device"] = slow
    precisions = [precision]
    if precision == "auto":
        precisions = bundle.precisions or ["fp32"]
        missing = [name for name in FILES if name not in precisions]
        if missing:
            skipped["not in the bundle: fer-export makes it"] = missing
    return [(name, held) for name in devices for held in precisions]


def model_facts(samples: Mapping[Row, Samples]) -> list[Facts]:
    """The rows that have run. ``speed``: crops per second relative to the REFERENCE, from medians; None if that did not
    run."""
    base = samples.get(REFERENCE)
    standard = _median(base) if base and base.seconds else None
    rows = []
    for row, taken in samples.items():
        if taken.seconds:
            numbers = figures(taken.seconds, taken.cpu, row.batch)
            each = _median(taken) / row.batch
            speed = round(standard / each, 3) if standard else None
            rows.append({**row._asdict(), **numbers, "ms_per_crop": round(1000 * each, 4), "speed": speed})
    return rows


def _median(samples: Samples) -> float:
    return max(float(np.median(samples.seconds)), 1e-9)  # a clock may stand still


def detector_works() -> tuple[dict[str, Work], dict[str, Facts], str]:
    """A call for each search, by name; the sizes that the network sees in it; and the name of the engine.

    It uses one thread, as everywhere. Raises EngineUnavailable or ModelNotFound.
    """
    detector = load_detector()
    works: dict[str, Work] = {}
    facts: dict[str, Facts] = {}

    def add(name: str, used: Detector, call: Callable[[Detector], object]) -> None:
        watched = _Watched(used.engine)
        call(Detector(watched, search_size=used.search_size, min_face=used.min_face, min_score=used.min_score))
        works[name], facts[name] = partial(call, used), {"searched": watched.sizes}

    pictures = {size: scene(size) for size in FRAMES}
    for (width, height), (picture, _) in pictures.items():
        add(f"frame {width}x{height}", detector, partial(_detect, picture=picture))
    small = Detector(detector.engine, min_face=SMALL_FACE_PX)
    width, height = FRAMES[-1]
    add(
        f"frame {width}x{height}, faces from {SMALL_FACE_PX:.0f} px",
        small,
        partial(_detect, picture=pictures[FRAMES[-1]][0]),
    )
    picture, box = pictures[FRAMES[0]]
    for count, name in ((1, "one expected face"), (4, "four expected faces")):
        add(name, detector, partial(_detect_near, picture=picture, boxes=[box] * count))
    for width, height in BARE:
        part = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        add(f"engine alone {width}x{height}", detector, partial(_run, batch=part[None]))
    return works, facts, detector.engine.name


def _detect(detector: Detector, picture: Image) -> object:
    return detector.detect(picture)


def _detect_near(detector: Detector, picture: Image, boxes: Sequence[Floats]) -> object:
    return detector.detect_near(picture, boxes)


def _run(detector: Detector, batch: Image) -> object:
    return detector.engine.run(batch)


def detector_facts(samples: Mapping[str, Samples], facts: Mapping[str, Facts]) -> list[Facts]:
    """The searches that have run, each with the sizes that the network sees: a list of width x height px."""
    return [
        {"search": name, **facts[name], **figures(taken.seconds, taken.cpu)}
        for name, taken in samples.items()
        if taken.seconds
    ]


class _Watched:
    """An engine that records the sizes of its inputs."""

    def __init__(self, engine: Engine):
        self.name, self._engine = engine.name, engine
        self.sizes: list[str] = []

    def run(self, batch: Image) -> Mapping[str, Floats]:
        self.sizes += [f"{batch.shape[2]}x{batch.shape[1]}"] * len(batch)
        return self._engine.run(batch)
