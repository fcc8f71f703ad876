"""Reference faces in a bundle, from which enrollment distinguishes new expressions: numbers only, no pictures."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.bundle import Bundle
from mien.errors import ModelInvalid
from mien.types import Floats

EXEMPLARS = "exemplars.npz"
MAX_DIRECTIONS = 64
"""Directions of the embedding that are stored: those along which faces differ most."""
QUANTIZATION_STEP = 0.05
"""Value of one int8 unit, in standard deviations of its direction."""


@dataclass(frozen=True, eq=False)
class Exemplars:
    """N faces with known basic expressions, from images that the model was not trained on.

    ``label`` (N,): index into the card's labels. ``source`` (N,): index of the data set. ``probabilities`` (N, 8): as
    the model computed them. ``places`` (N, W): embeddings relative to ``mean`` (D,) along ``axes`` (D, W), scaled to
    variance 1. ``origin``: the names of the data sets.
    """

    label: NDArray[np.int64]
    source: NDArray[np.int64]
    probabilities: Floats
    places: Floats
    mean: Floats
    axes: Floats
    origin: str

    def project(self, embeddings: Floats) -> Floats:
        """Embeddings (M, D) -> places (M, W)."""
        return np.asarray((embeddings.astype(np.float32) - self.mean) @ self.axes, np.float32)


def pack_exemplars(
    label: NDArray[np.int64], source: NDArray[np.int64], probabilities: Floats, embeddings: Floats, origin: str
) -> bytes:
    """The content of ``exemplars.npz``: embeddings (N, D), whitened by their principal components, in 8 bits."""
    mean = embeddings.mean(axis=0, dtype=np.float64)
    _, sizes, rows = np.linalg.svd(embeddings - mean, full_matrices=False)
    used = sizes[:MAX_DIRECTIONS] > 1e-6 * max(sizes[0], 1e-12)
    axes = rows[:MAX_DIRECTIONS][used].T / (sizes[:MAX_DIRECTIONS][used] / np.sqrt(len(embeddings)))
    places = np.clip(np.round((embeddings - mean) @ axes / QUANTIZATION_STEP), -127, 127).astype(np.int8)
    data = io.BytesIO()
    np.savez_compressed(
        data,
        label=label.astype(np.int8),
        source=source.astype(np.int8),
        probabilities=probabilities.astype(np.float16),
        places=places,
        mean=mean.astype(np.float32),
        axes=axes.astype(np.float16),  # rounds far less than the places
        origin=np.array(origin),
    )
    return data.getvalue()


def read_exemplars(bundle: Bundle) -> Exemplars:
    """The exemplars of a bundle. Raises ModelInvalid if it holds none, or if they do not fit its card."""
    card = bundle.card
    if EXEMPLARS not in card.files:
        raise ModelInvalid(
            f"bundle {bundle.folder} holds no {EXEMPLARS}, from which new expressions are distinguished; "
            "make it with: fer-export BUNDLE --exemplars FACES"
        )
    path = bundle.verified(EXEMPLARS)
    try:
        with np.load(path, allow_pickle=False) as stored:
            held = Exemplars(
                stored["label"].astype(np.int64),
                stored["source"].astype(np.int64),
                stored["probabilities"].astype(np.float32),
                stored["places"].astype(np.float32) * np.float32(QUANTIZATION_STEP),
                stored["mean"],
                stored["axes"].astype(np.float32),
                str(stored["origin"]),
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelInvalid(f"{path} holds no exemplars ({error}); export the bundle again") from error
    count, width = held.places.shape
    shapes = (held.label.shape, held.source.shape, held.probabilities.shape, held.mean.shape, held.axes.shape)
    if shapes != ((count,), (count,), (count, len(card.labels)), (card.embedding,), (card.embedding, width)):
        raise ModelInvalid(f"{path} does not fit the card beside it; export the bundle again")
    return held
