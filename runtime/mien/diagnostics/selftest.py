"""Does a bundle run here, how fast, and are its answers right?"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np

from mien.bundle import Bundle
from mien.diagnostics.golden import GOLDEN, TOLERANCES, agrees, check
from mien.diagnostics.machine import Facts, Problems
from mien.engines.selection import Backend, open_backend
from mien.errors import MienError, ModelInvalid, SourceError
from mien.recognizer import Recognizer
from mien.sources.demo import demo_picture
from mien.sources.images import read_image
from mien.types import Image

ROUNDS, WARM_UP = 15, 3


def try_backend(bundle: Bundle, way: Backend, needed: bool, threads: int | None, problems: Problems) -> Facts:
    """Whether a way runs, its time for one crop, and whether it gives the bundle's golden outputs.

    ``needed``: it is what was asked for or what auto takes, so that it is serious where it fails. Raises nothing.
    """
    name, size = " ".join(way), bundle.card.crop.size
    crop = np.full((1, size, size, 3), 128, np.uint8)
    try:
        engine = open_backend(bundle, way, threads)
        facts: Facts = {"engine": engine.name, "milliseconds": _milliseconds(lambda: engine.run(crop))}
        if needed and way[0] in ("cpu", "cuda"):
            with suppress(Exception):  # good to know, and no more
                facts["nodes"] = _placed(bundle.model_file(way[1], way[0]), way[0], crop)
        differences = check(engine, bundle)
    except Exception as error:
        problems[f"{name}: {words(error)}"] = needed or isinstance(error, ModelInvalid)
        return {"fails": words(error)}
    if differences is None:
        return {**facts, "golden": f"not compared: the bundle holds no {GOLDEN}; export it again"}
    same, limit = agrees(differences, way[1]), TOLERANCES[way[1]]
    shown = {output: gap if np.isfinite(gap) else "not finite" for output, gap in differences.items()}
    if not same:
        most = ", ".join(f"{output} {gap if isinstance(gap, str) else f'{gap:.2g}'}" for output, gap in shown.items())
        text = f"{name} on {engine.name} differs from the golden outputs: {most} (limits {limit:g} and {2 * limit:g})"
        serious = way[1] != "int8" or "not finite" in shown.values()
        problems[f"{text}; use another --device or --precision, and report this"] = serious
    return {**facts, "golden": "agrees" if same else "differs", "differences": shown}


def _placed(path: Path, device: str, crop: Image) -> dict[str, int]:
    """How many nodes of the graph each of ONNX Runtime's providers really executed, by its own profile."""
    ort = import_module("onnxruntime")
    options = ort.SessionOptions()
    options.enable_profiling, options.log_severity_level = True, 3
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        provider = import_module("mien.engines.ort").PROVIDERS[device]
        session = ort.InferenceSession(str(path), options, providers=[provider])
        session.run(None, {session.get_inputs()[0].name: crop})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return dict(Counter(event["args"]["provider"] for event in events if "provider" in event.get("args", {})))


def try_picture(model: str, device: str, precision: str, threads: int | None, problems: Problems) -> Facts:
    """The whole way from a picture to a face, on the demo's portrait where scikit-image is installed.

    The first four arguments are those of ``Recognizer``. Raises nothing.
    """
    picture = None
    with suppress(SourceError):
        picture = read_image(demo_picture())
    frame = np.zeros((360, 640, 3), np.uint8) if picture is None else picture
    what = "portrait" if picture is not None else "blank frame, so only the detector worked; pip install scikit-image"
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
        problems["no face was found in the demo's portrait; install mien again, and report this if it stays"] = True
    return facts


def _milliseconds(work: Callable[[], object]) -> float:
    """The median of some calls, after some to warm up."""
    seconds = []
    for _ in range(WARM_UP + ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return round(1000 * statistics.median(seconds[WARM_UP:]), 3)


def words(error: Exception) -> str:
    """Mien's errors say what to do; of others the kind has to be known."""
    return str(error) if isinstance(error, MienError) else f"{type(error).__name__}: {error}"
