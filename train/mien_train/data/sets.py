"""The sets of a recipe: what is trained on, what is held out."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from mien.errors import InputError
from mien.types import EXPRESSIONS
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
    if not validation:
        advice = "add pictures, or raise data.holdout" if recipe.data.holdout > 0 else "set data.holdout above 0"
        print(f"no picture is left to validate on, so nothing tells how good the student is: {advice}", file=sys.stderr)
    near = recipe.data.near_duplicates
    kept_out = [item.faces for item in validation] + [
        load_faces(name, root) for name in (*recipe.data.test, *recipe.data.calibration)
    ]
    if near >= 0 and kept_out:
        excluded = np.concatenate([difference_hashes(faces) for faces in kept_out])
        for name, item in training.items():
            training[name] = item.subset(~repeats(difference_hashes(item.faces), excluded, near))
    return list(training.values()), validation


def without_training(item: Faces, training: list[Faces], near: int) -> Faces:
    """``item`` without the pictures that repeat one of ``training``, of which it tells on stderr. ``near``: as
    ``data.near_duplicates``, but the very same pictures are always left out.

    Raises InputError where no picture is left.
    """
    trained = np.concatenate([difference_hashes(part.faces) for part in training])
    seen = repeats(difference_hashes(item.faces), trained, max(near, 0))
    told = f"{seen.sum()} of the {len(seen)} pictures of {item.faces.name} were trained on"
    if seen.all():
        raise InputError(f"{told}: choose other faces for data.calibration")
    if seen.any():
        print(f"{told}, and are left out of the calibration", file=sys.stderr)
    return item.subset(~seen)


def check_anchors(data: DataRecipe) -> None:
    """Raises InputError where a set of ``data.anchors`` is not trained on: it would be ignored."""
    if not {Path(name).as_posix() for name in data.anchors} <= data.shares.keys():
        raise InputError(f"recipe: data.anchors has {data.anchors}, which must all be among data.train")


def learned_labels(training: list[Faces], taught: Iterable[str] = ()) -> tuple[str, ...]:
    """The classes of the training images and of the teacher, ``taught``, in canonical order.

    Other classes keep their outputs in the network, but these were never trained, or were trained never to occur.
    Raises InputError where there are fewer than two classes.
    """
    shown = np.unique(np.concatenate([item.faces.expression for item in training]))
    names = {EXPRESSIONS[index] for index in shown if index >= 0} | set(taught)
    labels = tuple(name for name in EXPRESSIONS if name in names)
    if len(labels) < 2:
        raise InputError(
            f"the training faces show {', '.join(labels) or 'no expression'}; a model needs at least two expressions: "
            "add faces with another, or a teacher (distill.teacher)"
        )
    return labels


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
