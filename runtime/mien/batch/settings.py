"""What decides the results of a run, and the model that the workers open."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mien.bundle import find_bundle
from mien.engines.selection import select_backend
from mien.enrollment.classes import model_of
from mien.files import sha256
from mien.recognizer import Recognizer
from mien.tracking.options import StreamOptions

FORMAT = 1
"""Of the folder of results; rises when its files change their meaning."""
AUTO = "auto"


@dataclass(frozen=True)
class Settings:
    """The options of a run, as for ``Recognizer`` and its ``stream``. ``segment_s``: longer videos are read in segments
    of so many seconds; 0 for never."""

    model: str = "default"
    device: str = AUTO
    precision: str = AUTO
    min_face: float = 0.0
    min_confidence: float = 0.0
    exclude: tuple[str, ...] = ()
    personal: str | None = None
    smoothing: float = StreamOptions.smoothing
    temporal: bool | None = None
    segment_s: float = 1800.0


@dataclass(frozen=True)
class Model:
    """What a worker needs to read an input. ``recognizer`` is pickled: it loads the model where it is unpickled.

    ``name``: of the model, with the start of its checksum. ``told``: all that decides the results, for the options file
    of the folder.
    """

    recognizer: bytes
    name: str
    labels: tuple[str, ...]
    smoothing: float
    temporal: bool | None
    segment_s: float
    told: Mapping[str, Any]


def open_model(settings: Settings, known: Mapping[str, Any] | None = None) -> Model:
    """Load the model once, so that everything that is wrong with the settings shows before work begins.

    Args:
        settings: The options. What ``auto`` stands for is decided here, for all workers.
        known: The options file of a folder that is continued: ``auto`` then means what it meant there.

    Returns:
        The model for the workers. Each of them computes with one thread, since there is a worker for each core.

    Raises:
        MienError: As for ``Recognizer``.
    """
    known = known or {}
    bundle = find_bundle(settings.model)
    device, precision = (
        known.get(key, AUTO) if asked == AUTO else asked
        for key, asked in (("device", settings.device), ("precision", settings.precision))
    )
    chosen = select_backend(bundle, device, precision, 1)
    recognizer = Recognizer(
        settings.model,
        device=chosen.device,
        precision=chosen.precision,
        threads=1,
        min_face=settings.min_face,
        min_confidence=settings.min_confidence,
        exclude=settings.exclude,
        personal=settings.personal,
    )
    recognizer.stream(temporal=settings.temporal, smoothing=settings.smoothing).close()
    identity = model_of(recognizer.card)
    told = {
        "format": FORMAT,
        "mien": version("mien"),
        "model": f"{recognizer.card.name} {identity}",
        "device": chosen.device,
        "precision": chosen.precision,
        "min_face": settings.min_face,
        "min_confidence": settings.min_confidence,
        "exclude": sorted(settings.exclude),
        "personal": settings.personal and sha256(Path(settings.personal)),
        "smoothing": settings.smoothing,
        "temporal": settings.temporal,
        "segment_s": settings.segment_s,
    }
    return Model(
        pickle.dumps(recognizer),
        f"{recognizer.card.name} {identity[:12]}",
        recognizer.labels,
        settings.smoothing,
        settings.temporal,
        settings.segment_s,
        told,
    )
