"""The faces of a run with their classes: those to learn from, and those to test on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.continual.classes import class_names, labels_of_names, labels_of_votes
from mien_train.continual.folders import pictures_of
from mien_train.continual.recipe import ClassesRecipe
from mien_train.data.batches import Faces
from mien_train.data.datasets import FaceSet
from mien_train.data.duplicates import difference_hashes, repeats
from mien_train.data.sets import load_with_landmarks, prepare


@dataclass(frozen=True, eq=False)
class Labeled:
    """Faces of one set; ``label`` (N,) are indices into ``class_names``."""

    item: Faces
    label: NDArray[np.int64]

    def subset(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Labeled:
        return Labeled(self.item.subset(chosen), self.label[chosen])


def load_labeled(name: str, compounds: tuple[str, ...], root: Path | None) -> Labeled:
    """A set such as ``ferplus/train``, or ``FOLDER/train`` of CFEE or RAF-DB compound. Faces of no class are left out.

    Compounds are what the raters of a set split on or, in a set without votes, what its column ``category`` names; a
    set with neither has basic classes only. Raises InputError where there is neither set nor folder.
    """
    folder = Path(name).parent
    if folder.is_dir() and folder != Path():
        labeled = _load_folder(name, folder, compounds)
    else:
        labeled = _load_set(name, compounds, root)
    return labeled.subset(labeled.label >= 0)


def _load_set(name: str, compounds: tuple[str, ...], root: Path | None) -> Labeled:
    item = load_with_landmarks(name, root)
    rows, majority = item.faces.rows, item.faces.expression
    votes = [row or [0] * 10 for row in rows["votes"]] if "votes" in rows.column_names else []
    if any(map(any, votes)):
        return Labeled(item, labels_of_votes(np.array(votes)[item.faces.index], majority, compounds))
    if "category" in rows.column_names:
        names = list(rows["category"])
        return Labeled(item, labels_of_names([names[i] for i in item.faces.index], majority, compounds))
    return Labeled(item, majority)


def _load_folder(name: str, folder: Path, compounds: tuple[str, ...]) -> Labeled:
    names = class_names(compounds)
    pictures = [picture for picture in pictures_of(folder, Path(name).name) if picture.name in names]
    if not pictures:
        raise InputError(f"{name} holds no picture of a class of this recipe")
    label = np.array([names.index(picture.name) for picture in pictures])
    count = len(pictures)
    faces = FaceSet(
        name,
        [{"image": {"bytes": None, "path": str(picture.path)}} for picture in pictures],
        np.arange(count),
        np.where(label < len(EXPRESSIONS), label, -1),
        np.full((count, len(EXPRESSIONS)), np.nan, np.float32),
        np.full((count, 2), np.nan, np.float32),
    )
    return Labeled(prepare(faces), label)


def load_learning(recipe: ClassesRecipe, seed: int, root: Path | None) -> tuple[list[Labeled], list[Labeled]]:
    """The faces to learn from, and those to test on, with one part for each set.

    At most ``recipe.basic`` random images of each basic class are used, over all sets, and all images of the compounds.
    Near-duplicates of a test image are left out. With ``recipe.split`` "images" the tested faces come last among those
    to learn from, see ``folds``. Raises InputError where a class has no image on either side.
    """
    names = class_names(recipe.compounds)
    parts = [load_labeled(name, recipe.compounds, root) for name in recipe.train]
    tests = [load_labeled(name, recipe.compounds, root) for name in recipe.test]
    label = np.concatenate([part.label for part in parts])
    starts = np.cumsum([0] + [len(part.label) for part in parts])
    rng = np.random.default_rng(seed)
    chosen = label >= len(EXPRESSIONS)
    for basic in range(len(EXPRESSIONS)):
        chosen[rng.permutation(np.flatnonzero(label == basic))[: recipe.basic]] = True
    parts = [part.subset(chosen[start:end]) for part, start, end in zip(parts, starts, starts[1:], strict=False)]
    if recipe.near_duplicates >= 0:
        tested = np.concatenate([difference_hashes(part.item.faces) for part in tests])
        parts = [
            part.subset(~repeats(difference_hashes(part.item.faces), tested, recipe.near_duplicates)) for part in parts
        ]
    for sides, purpose in ((parts, "learn from"), (tests, "test on")):
        counts = np.bincount(np.concatenate([part.label for part in sides]), minlength=len(names))
        # A basic expression may be missing: RAF-DB has no contempt.
        lacking = [name for name, count in zip(names, counts, strict=True) if not count and name not in EXPRESSIONS]
        if lacking or not counts[: len(EXPRESSIONS)].any():
            raise InputError(f"there is no image of {lacking[0] if lacking else 'a basic expression'} to {purpose}")
    return parts + (tests if recipe.split == "images" else []), tests
