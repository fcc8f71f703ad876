"""The sets of a recipe: what is trained on, what is held out."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np

from mien.errors import InputError
from mien_train.data.batches import Faces
from mien_train.data.datasets import FaceSet, data_root, holdout, load_faces
from mien_train.data.duplicates import difference_hashes, repeats
from mien_train.data.landmarks import find_landmarks
from mien_train.data.pixels import cut_pixels
from mien_train.recipe import DataRecipe, Recipe

HOLDOUT = "holdout"
NAMED = 10
"""How many of the pictures without a face are named."""


def load_sets(recipe: Recipe, root: Path | None) -> tuple[list[Faces], list[Faces]]:
    """Training sets, each once, and validation sets, with their landmarks.

    Labeled sets without a validation split give up a share of their images. Training images that are also in a
    validation, test or calibration set are left out (but not their mirror images).
    """
    validation = [load_with_landmarks(name, root) for name in recipe.data.validation]
    separate = {str(Path(name).parent) for name in recipe.data.validation}
    training = {name: load_with_landmarks(name, root) for name in recipe.data.shares}
    for name, item in training.items():
        labeled = bool((item.faces.expression >= 0).any())
        if str(Path(name).parent) not in separate and recipe.data.holdout > 0 and labeled:
            held = holdout(item.faces, recipe.data.holdout)
            if held.any():
                validation.append(item.subset(held))
            training[name] = item.subset(~held)
        if recipe.data.limit:
            training[name] = training[name].sample(recipe.data.limit, recipe.seed)
    near = recipe.data.near_duplicates
    if near >= 0:
        kept_out = [item.faces for item in validation] + [
            load_faces(name, root) for name in (*recipe.data.test, *recipe.data.calibration)
        ]
        excluded = np.concatenate([difference_hashes(faces) for faces in kept_out])
        for name, item in training.items():
            training[name] = item.subset(~repeats(difference_hashes(item.faces), excluded, near))
    return list(training.values()), validation


def load_with_landmarks(name: str, root: Path | None) -> Faces:
    """A set with its landmarks. Parquet sets stay in memory, because an ablation needs the same ones many times.

    Pictures of a folder in which no face is found are left out, and named on stderr: unlike the pictures of a data set,
    they were not cropped by one rule that tells where the face is. Raises InputError where no picture has a face.
    ``rafdb/holdout`` names the images of ``rafdb/train`` that a recipe with the usual share keeps out of training.
    """
    if Path(name).is_dir():
        return _with_a_face(_load(name, None))
    if Path(name).name == HOLDOUT:
        whole = load_with_landmarks(str(Path(name).with_name("train")), root)
        return whole.named(name).subset(holdout(whole.faces, DataRecipe().holdout))
    return _load_parquet(name, data_root(root))


def _with_a_face(item: Faces) -> Faces:
    found, name = item.landmarks.found, item.faces.name
    if not found.any():
        raise InputError(f"no face was found in any of the {len(found)} pictures of {name}")
    missing = [item.faces.place(int(i)) for i in np.flatnonzero(~found)]
    if missing:
        rest = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        left_out = f"no face was found in {len(missing)} of {len(found)} pictures, which are left out"
        print(f"{left_out}: {', '.join(missing[:NAMED])}{rest}", file=sys.stderr)
    return item.subset(found)


@lru_cache(maxsize=16)
def _load_parquet(name: str, root: Path) -> Faces:
    return _load(name, root)


def _load(name: str, root: Path | None) -> Faces:
    return prepare(load_faces(name, root))


def prepare(faces: FaceSet, *, progress: bool = True) -> Faces:
    """A whole set with its landmarks and cut-outs, computed now or by an earlier call."""
    marks = find_landmarks(faces, progress=progress)
    return Faces(faces, marks, cut_pixels(faces, marks, progress=progress))
