"""Soft labels for faces of some sets, learned from the raters of others.

Nearly all contempt in the training data comes from one set, labeled by single annotators, and so do most closed smiles
in color portraits: a network learns that such smiles are contempt. Sets that many people rated, or whose expressions
were posed, say otherwise, but contain other kinds of pictures. So a linear classifier on the start network's embeddings
learns from these sets and gives soft labels to faces without a label. It knows all classes but contempt, which hardly
occurs in those sets.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import InputError
from mien.files import replacing
from mien.types import EXPRESSIONS
from mien_train.data.batches import Faces, soft_targets
from mien_train.evaluation.predict import predict
from mien_train.models.student import Student
from mien_train.recipe import Recipe
from mien_train.settings import plain

Matrix = NDArray[np.float32]
CONTEMPT, HAPPINESS = EXPRESSIONS.index("contempt"), EXPRESSIONS.index("happiness")
MOST = 6000
"""Images of each set that the classifier learns from; more improve it little."""
PENALTY = 5e-5
"""On the squared weights, for features that are standardized to a total variance of 1."""

DECISIVE = ("data", "model", "crop", "seed")
"""Parts of a recipe that the soft labels depend on."""


class OpinionClassifier:
    """Logistic regression of embeddings (N, D) on probabilities of all classes but contempt."""

    def __init__(self, embedding: Matrix, target: Matrix, weight: Matrix):
        """``target`` (N, 8) probabilities, ``weight`` (N,) of each face."""
        self.mean, self.scale = embedding.mean(0), (embedding.std(0) + 1e-6) * embedding.shape[1] ** 0.5
        x, w = self._standardized(embedding), torch.from_numpy(weight / weight.sum()).double()
        known = np.delete(target, CONTEMPT, axis=1)
        y = torch.from_numpy(known / np.maximum(known.sum(1, keepdims=True), 1e-6)).double()
        self.layer = torch.nn.Linear(x.shape[1], y.shape[1], dtype=torch.float64)
        torch.nn.init.zeros_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)
        optimizer = torch.optim.LBFGS(self.layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            fit = -(w[:, None] * y * self.layer(x).log_softmax(1)).sum()
            loss = fit + PENALTY * self.layer.weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)

    @torch.no_grad()
    def __call__(self, embedding: Matrix) -> Matrix:
        """(N, D) -> (N, 8) probabilities, 0 for contempt."""
        probabilities = self.layer(self._standardized(embedding)).softmax(1).numpy().astype(np.float32)
        return np.insert(probabilities, CONTEMPT, 0.0, axis=1)

    def _standardized(self, embedding: Matrix) -> Tensor:
        return torch.from_numpy((embedding - self.mean) / self.scale).double()


def with_opinions(student: Student, training: list[Faces], recipe: Recipe, path: Path) -> list[Faces]:
    """``training`` with a soft label for every face without one in the sets that raters did not label. Where a single
    annotator saw contempt, the classifier's probability of happiness is taken from it and given to happiness.

    ``student`` is that of step 0. The labels are kept in the file ``path``, so that a resumed run learns from the same.
    """
    if not recipe.data.raters:
        return training
    origin = json.dumps([plain(asdict(recipe)[part]) for part in DECISIVE], default=str)
    if not path.exists():
        labels = _read(student, training, recipe)
        with replacing(path) as aside:
            np.savez_compressed(aside, recipe=origin, **labels)  # type: ignore[arg-type]
    with np.load(path) as stored:
        if str(stored["recipe"]) != origin:
            raise InputError(f"{path} was made by another recipe; remove it, or start in another --out")
        soft = [stored[_key(item)] for item in training]
    if [len(part) for part in soft] != [len(item.faces) for item in training]:
        raise InputError(f"{path} was made for other training images; remove it")
    return [replace(item, faces=replace(item.faces, soft=part)) for item, part in zip(training, soft, strict=True)]


def _read(student: Student, training: list[Faces], recipe: Recipe) -> dict[str, Matrix]:
    raters = [item.sample(MOST, recipe.seed) for item in training if item.faces.name in recipe.data.raters]
    if len(raters) != len(recipe.data.raters):
        raise InputError(f"recipe: data.raters has {recipe.data.raters}, which must all be among data.train")
    embeddings, targets, weights = [], [], []
    for item in raters:
        target = soft_targets(item.faces, 0.0)
        known = ~np.isnan(target[:, 0])
        embeddings.append(predict(student, item.subset(known), recipe.crop).embedding)
        targets.append(target[known])
        weights.append(np.full(known.sum(), known.sum() ** -0.5, np.float32))
    classifier = OpinionClassifier(np.concatenate(embeddings), np.concatenate(targets), np.concatenate(weights))
    return {_key(item): _opinions(student, classifier, item, recipe) for item in training}


def _opinions(student: Student, classifier: OpinionClassifier, item: Faces, recipe: Recipe) -> Matrix:
    """(N, 8) soft labels of one set: its own, the classifier's, or a mixture of both; NaN where the plain label
    stays."""
    soft = item.faces.soft.copy()
    # Faces in which raters saw no expression, or no face at all, stay without a label.
    single = np.isnan(soft[:, 0]) & (item.faces.name not in recipe.data.raters)
    blank, contempt = single & (item.faces.expression < 0), single & (item.faces.expression == CONTEMPT)
    asked = np.flatnonzero(blank | contempt)
    if not len(asked):
        return soft
    read = classifier(predict(student, item.subset(asked), recipe.crop).embedding)
    happy = read[:, [HAPPINESS]]
    mixed = happy * np.eye(len(EXPRESSIONS), dtype=np.float32)[HAPPINESS]
    mixed = mixed + (1 - happy) * np.eye(len(EXPRESSIONS), dtype=np.float32)[CONTEMPT]
    soft[asked] = np.where(contempt[asked, None], mixed, read)
    return soft


def _key(item: Faces) -> str:
    return item.faces.name.replace("/", " ")
