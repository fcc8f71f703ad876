"""The stills that sequences are made of: none that the student was trained on, and those of test sets only for
tests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien_train.data.batches import Faces
from mien_train.data.datasets import FaceSet
from mien_train.data.duplicates import difference_hashes, repeats
from mien_train.data.sets import load_with_landmarks
from mien_train.recipe import DataRecipe

LEARNED = ("ferplus/validation", "affectnet-subset/validation", "rafdb/holdout")
"""Stills to learn from: labeled images that the student's training held out."""
TESTED = DataRecipe().test
VALIDATION = 0.15
"""Share of these stills that is kept for validation."""


def load_stills(root: Path | None, names: tuple[str, ...] = LEARNED) -> tuple[list[Faces], list[Faces], list[Faces]]:
    """Labeled stills for training, for validation and for tests. Repeats of a test image are left out of the others.

    Raises InputError where a set is missing.
    """
    tests = [_labeled(load_with_landmarks(name, root)) for name in TESTED]
    tested = np.concatenate([difference_hashes(item.faces) for item in tests])
    learned, chosen = [], []
    for name in names:
        item = _labeled(load_with_landmarks(name, root))
        item = item.subset(~repeats(difference_hashes(item.faces), tested, DataRecipe().near_duplicates))
        held = _held(item.faces)
        learned.append(item.subset(~held))
        chosen.append(item.subset(held).named(f"{name}, to choose by"))
    return learned, chosen, tests


def _labeled(item: Faces) -> Faces:
    return item.subset(item.faces.expression >= 0)


def _held(faces: FaceSet) -> NDArray[np.bool_]:
    """Chosen by the second byte of each image's hash, since the first decides what the student's training held out."""
    digests = [hashlib.sha1(faces.encoded(i)).digest()[1] for i in range(len(faces))]
    return np.array(digests) < round(VALIDATION * 256)
