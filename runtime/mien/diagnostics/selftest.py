"""Tests of a bundle on this machine: whether it runs, how fast, and whether its outputs are correct."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from mien.bundle import Bundle
from mien.diagnostics.machine import Facts, Problems
from mien.engines.golden import GOLDEN, TOLERANCES, agrees, check
from mien.engines.selection import Backend, open_backend
from mien.errors import MienError, ModelInvalid, SourceError
from mien.recognizer import Recognizer
from mien.sources.demo import demo_picture
from mien.sources.images import read_image

ROUNDS, WARM_UP = 15, 3


def try_backend(bundle: Bundle, backend: Backend, needed: bool, threads: int | None, problems: Problems) -> Facts:
    """Whether a backend runs, its time for one crop, and whether it reproduces the bundle's golden outputs.

    ``needed``: it was requested, or auto selects it, so a failure is serious. Raises nothing.
    """
    name, precision, size = " ".join(backend), backend[1], bundle.card.crop.size
    crop = np.full((1, size, size, 3), 128, np.uint8)
    try:
        engine = open_backend(bundle, backend, threads)
        facts: Facts = {"engine": engine.name, "milliseconds": _milliseconds(lambda: engine.run(crop))}
        placed = getattr(engine, "placed", None)  # of ONNX Runtime's engines
        if placed:
            facts["nodes"] = placed
        differences = check(engine, bundle)
    except Exception as error:
        problems[f"{name}: {words(error)}"] = needed or isinstance(error, ModelInvalid)
        return {"fails": words(error)}
    if differences is None:
        return {**facts, "golden": f"not compared: the bundle holds no {GOLDEN}; export it again"}
    same, limit = agrees(differences, precision), TOLERANCES[precision]
    shown = {output: gap if np.isfinite(gap) else "not finite" for output, gap in differences.items()}
    if not same:
        most = ", ".join(f"{output} {gap if isinstance(gap, str) else f'{gap:.2g}'}" for output, gap in shown.items())
        text = f"{name} on {engine.name} differs from the golden outputs: {most} (limits {limit:g} and {2 * limit:g})"
        serious = precision != "int8" or "not finite" in shown.values()
        problems[f"{text}; use another --device or --precision, and report this"] = serious
    return {**facts, "golden": "agrees" if same else "differs", "differences": shown}


def try_picture(model: str, device: str, precision: str, threads: int | None, problems: Problems) -> Facts:
    """Test the whole pipeline from picture to faces, on the demo's portrait if scikit-image is installed.

    The first four arguments are those of ``Recognizer``. Raises nothing.
    """
    picture = None
    with suppress(SourceError):
        picture = read_image(demo_picture())
    frame = np.zeros((360, 640, 3), np.uint8) if picture is None else picture
    what = "portrait" if picture is not None else "blank frame, so only the detector ran; pip install scikit-image"
    try:
        recognizer = Recognizer(model, device=device, precision=precision, threads=threads)
        faces = recognizer.predict(frame)
        facts: Facts = {
            "picture": f"{frame.shape[1]}x{frame.shape[0]} {what}",
            "engine": recognizer.engine,
            "milliseconds": _milliseconds(lambda: recognizer.predict(frame)),
            "faces": [f"{face.expression.label} {face.expression.confidence:.0%}" for face in faces],
        }
    except Exception as error:
        if not any(words(error) in text for text in problems):
            problems[f"predict: {words(error)}"] = True
        return {"fails": words(error)}
    if picture is not None and not faces:
        problems["no face was found in the demo's portrait; reinstall mien, and report this if it remains"] = True
    return facts


def _milliseconds(work: Callable[[], object]) -> float:
    """The median time of some calls, after others to warm up."""
    seconds = []
    for _ in range(WARM_UP + ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return round(1000 * statistics.median(seconds[WARM_UP:]), 3)


def words(error: Exception) -> str:
    """The message of an error, with its type unless it is one of mien's own."""
    return str(error) if isinstance(error, MienError) else f"{type(error).__name__}: {error}"
