"""The personal file: what a device has learned, as numbers that only one model can use."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mien.bundle.card import ModelCard
from mien.enrollment.classes import Examples, Personal, check_label, model_of
from mien.enrollment.neutral import Baseline
from mien.errors import InputError, SourceError
from mien.files import write_whole
from mien.types import Affect

FORMAT = 1
MAX_BYTES = 64 * 2**20
"""Far beyond the size of the maximum number of classes and examples."""


def save_personal(personal: Personal, path: str | Path) -> None:
    """Write ``personal`` to ``path``. OutputError if that fails; an old file then stays as it was."""
    rest = personal.rest
    header = {
        "format": FORMAT,
        "model": personal.model,
        "basic": personal.basic,
        "labels": personal.labels,
        "rest": rest
        and {
            "probabilities": dict(rest.probabilities),
            "affect": rest.affect and [rest.affect.valence, rest.affect.arousal],
        },
    }
    arrays: dict[str, Any] = {"weights": personal.weights.astype(np.float32)}
    for i, examples in enumerate(personal.examples.values()):
        arrays[f"embedding{i}"] = examples.embedding.astype(np.float16)
        arrays[f"probabilities{i}"] = examples.probabilities.astype(np.float32)
    data = io.BytesIO()
    np.savez_compressed(data, told=np.array(json.dumps(header)), **arrays)
    write_whole(Path(path), data.getvalue())


def load_personal(path: str | Path, card: ModelCard) -> Personal:
    """Read what ``save_personal`` wrote, for the model of ``card``.

    Raises SourceError if there is no such file, InputError if it is broken or belongs to another model.
    """
    try:
        size = Path(path).stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path} is too large for a personal file ({size / 2**20:.0f} MiB); check its name")
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SourceError(f"cannot read {path}: {why}; fer-enroll makes such files") from error
    if not data.startswith(b"PK"):  # numpy's message about anything else would be misleading
        raise InputError(f"{path} is not a personal file, or is damaged; choose another name, or enroll again")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            personal = _build(json.loads(str(stored["told"])), stored, card)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a personal file, or is damaged ({error}); enroll again") from error
    if personal.model != model_of(card) or personal.basic != card.labels:
        raise InputError(
            f"{path} was learned with another model than {card.name}, so its numbers mean nothing here; enroll again, "
            "or use the bundle it was learned with"
        )
    return personal


def _build(header: Any, stored: Any, card: ModelCard) -> Personal:
    if header["format"] != FORMAT:
        raise InputError(
            f"the file has format {header['format']}, but this mien reads format {FORMAT}; update mien, or enroll again"
        )
    basic, labels = tuple(map(str, header["basic"])), [str(label) for label in header["labels"]]
    examples: dict[str, Examples] = {}
    for i, label in enumerate(labels):
        held = Examples(stored[f"embedding{i}"].astype(np.float32), stored[f"probabilities{i}"].astype(np.float32))
        width, count = held.embedding.shape[1], len(held)
        if held.probabilities.shape != (count, len(basic)) or not count or label in examples:
            raise ValueError(f"the examples of {label!r} do not fit")
        examples[check_label(label, basic, list(examples))] = held
        if header["model"] == model_of(card) and width != card.embedding:
            raise ValueError(f"the embeddings of {label!r} are {width} wide")
    weights = stored["weights"]
    wide = len(basic) + card.embedding + 1
    if weights.dtype.kind != "f" or not np.isfinite(weights).all() or not _finite(examples):
        raise ValueError("its numbers are not finite")
    if header["model"] == model_of(card) and weights.shape != (wide, len(labels)) and labels:
        raise ValueError(f"its weights have shape {weights.shape}")
    rest = header["rest"]
    if rest is not None:
        named = {label: float(rest["probabilities"][label]) for label in basic}
        felt = rest["affect"]
        rest = Baseline(named, None if felt is None else Affect(*(float(value) for value in felt)))
    return Personal(str(header["model"]), basic, examples, weights, rest)


def _finite(examples: dict[str, Examples]) -> bool:
    return all(
        np.isfinite(held.embedding).all() and np.isfinite(held.probabilities).all() for held in examples.values()
    )
