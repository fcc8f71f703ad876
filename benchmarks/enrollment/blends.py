"""Compound expressions in the votes of FER+, and embeddings of data sets that are made once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.bundle import Bundle
from mien.engines import load_engine
from mien.enrollment.votes import blends
from mien.files import cache_folder
from mien.types import EXPRESSIONS
from mien_train.data.duplicates import difference_hashes
from mien_train.data.sets import load_with_landmarks

if TYPE_CHECKING:
    from typing_extensions import Self

COMPOUNDS = (
    ("fear", "surprise"),
    ("happiness", "surprise"),
    ("anger", "surprise"),
    ("anger", "sadness"),
    ("anger", "disgust"),
    ("fear", "sadness"),
)
BATCH = 32


@dataclass(frozen=True, eq=False)
class Embedded:
    """N images as the model sees them: ``probabilities`` (N, 8), ``embedding`` (N, D), ``expression`` (N,) or -1,
    ``compound`` (N,) index of COMPOUNDS or -1, ``blend`` (N,) whether it is one of any two, ``hashes`` (N, 4)."""

    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32]
    expression: NDArray[np.int64]
    compound: NDArray[np.int64]
    blend: NDArray[np.bool_]
    hashes: NDArray[np.uint64]

    def take(self, rows: NDArray[Any]) -> Self:
        return type(self)(*(values[rows] for values in vars(self).values()))

    @property
    def basic(self) -> Self:
        """Those with a basic expression that is no blend."""
        return self.take((self.expression >= 0) & ~self.blend)


def compounds_of(votes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Index of COMPOUNDS (N,), -1 for none, and whether an image is a compound of any two, from ten votes (N, 10)."""
    leading, blend = blends(votes)
    found = np.full(len(votes), -1)
    for index, names in enumerate(COMPOUNDS):
        pair = sorted(EXPRESSIONS.index(name) for name in names)
        found[blend & (leading == pair).all(axis=1)] = index
    return found, blend


def embed(names: Sequence[str], bundle: Bundle, root: Path) -> dict[str, Embedded]:
    """The fp32 model's outputs for data sets, one thread; kept in the cache by the model's sha256."""
    engine = None
    made = {}
    for name in names:
        item = load_with_landmarks(name, root)
        key = hashlib.sha256(f"{bundle.card.files['model.onnx']} {name} {len(item.faces)}".encode()).hexdigest()[:16]
        path = cache_folder() / "blends" / f"{key}.npz"
        if not path.is_file():
            engine = engine or load_engine(bundle.model_file("fp32"), device="cpu", threads=1)
            outputs = []
            for start in range(0, len(item.faces), BATCH):
                rows = range(start, min(start + BATCH, len(item.faces)))
                outputs.append(engine.run(np.stack([item.crop(i, bundle.card.crop) for i in rows])))
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial.npz")
            np.savez(
                partial,
                probabilities=np.concatenate([output["expression"] for output in outputs]),
                embedding=np.concatenate([output["embedding"] for output in outputs]).astype(np.float16),
                hashes=difference_hashes(item.faces),
            )
            partial.replace(path)
        with np.load(path) as stored:
            compound, blend = _votes(item.faces)
            made[name] = Embedded(
                stored["probabilities"],
                stored["embedding"].astype(np.float32),
                item.faces.expression,
                compound,
                blend,
                stored["hashes"],
            )
    return made


def _votes(faces: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if "votes" not in faces.rows.column_names:
        return np.full(len(faces), -1), np.zeros(len(faces), bool)
    rows = faces.rows["votes"]
    return compounds_of(np.array([rows[int(i)] or [0] * 10 for i in faces.index]))
