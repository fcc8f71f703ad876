"""The reference faces of a bundle, for enrollment on the device: outputs of the network, not pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mien.bundle.card import ModelCard
from mien.engines import Engine
from mien.enrollment.reference_faces import EXEMPLARS, pack_exemplars
from mien.errors import InputError
from mien_export.calibration_faces import read_faces

LIMIT = 4000
"""Faces. With fewer, a loss of one percentage point would be decided by a handful of them."""
LEAST = 100
"""Faces that each source must have."""
BATCH = 32


def write_exemplars(folder: Path, card: ModelCard, engine: Engine, sources: Sequence[str]) -> int:
    """Read faces with a clear expression from ``sources`` (calibration_faces.py), one of the card's labels, and write
    the outputs of ``engine``, the fp32 model, on them into ``folder``. Returns their number. Raises InputError where
    there are too few.

    They should be images that the model was not trained on, because enrollment measures on them, for each source, what
    the model's own expressions lose.
    """
    limit = LIMIT // len(sources)
    read = [read_faces([source], card.crop, limit, labels=card.labels, clear=True) for source in sources]
    known = [faces.take(faces.expression >= 0) for faces in read]  # a folder may hold others
    if min(map(len, known)) < LEAST:
        raise InputError(
            f"{min(map(len, known))} faces with a known expression are too few exemplars; give sources of at least "
            f"{LEAST} each: parquet files, or folders named after expressions"
        )
    crops = np.concatenate([faces.crops for faces in known])
    outputs = [engine.run(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
    data = pack_exemplars(
        np.concatenate([faces.expression for faces in known]),
        np.repeat(np.arange(len(known)), [len(faces) for faces in known]),
        np.concatenate([part["expression"] for part in outputs]),
        np.concatenate([part["embedding"] for part in outputs]),
        ", ".join(faces.origin for faces in known),
    )
    (folder / EXEMPLARS).write_bytes(data)
    return len(crops)
