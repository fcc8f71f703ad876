"""Faces whose label is used, faces whose label is hidden or missing, and faces to judge pseudo-labels on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.errors import InputError
from mien_train.data.batches import Faces, soft_targets
from mien_train.data.sets import load_sets
from mien_train.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Pools:
    """``unlabeled``: all faces of the training sets, labeled ones too, as in FixMatch (Sohn et al. 2020,
    arXiv:2001.07685). ``judged``: labeled faces whose label no network is trained on, to measure pseudo-labels by.
    They are the hidden part of the training sets or, where none is hidden, the validation sets."""

    labeled: list[Faces]
    unlabeled: list[Faces]
    judged: list[Faces]
    validation: list[Faces]


def load_sets_of(recipe: Recipe, root: Path | None) -> tuple[list[Faces], list[Faces]]:
    """The sets of ``data.train`` and ``semi.unlabelled``, each once, and the validation sets, as ``load_sets`` does."""
    names = tuple(dict.fromkeys((*recipe.data.train, *recipe.semi.unlabelled)))
    return load_sets(replace(recipe, data=replace(recipe.data, train=names)), root)


def split_pools(training: list[Faces], validation: list[Faces], recipe: Recipe) -> Pools:
    """``semi.labels`` of the labeled images of each set, drawn by ``seed``, keep their label.

    Raises InputError where nothing is left to learn or to judge from.
    """
    share = recipe.semi.labels
    labeled: list[Faces] = []
    hidden: list[Faces] = []
    all_labeled = True
    for item in training:
        known = ~np.isnan(soft_targets(item.faces, 0.0)[:, 0])
        keeps = np.zeros(len(known), bool)
        if item.faces.name in recipe.data.shares:
            rows = np.random.default_rng(recipe.seed).permutation(np.flatnonzero(known))
            keeps[rows[: round(share * len(rows))]] = True
        all_labeled = all_labeled and bool(keeps.all())
        for pool, rows in ((labeled, keeps), (hidden, known & ~keeps)):
            if rows.any():
                pool.append(item.subset(rows))
    if not labeled:
        raise InputError("no labeled face is left to learn from: add a set to data.train, or raise semi.labels")
    if recipe.semi.pseudo and all_labeled:
        raise InputError("no face without a label: add a set to semi.unlabelled, or lower semi.labels")
    judged = hidden or validation
    if recipe.semi.pseudo and not judged:
        raise InputError("nothing to judge pseudo-labels on: add a set to data.validation, or lower semi.labels")
    return Pools(labeled, training, judged, validation)
