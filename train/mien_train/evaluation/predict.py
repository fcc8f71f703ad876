"""Run a student over a set: logits, affect and embeddings beside the labels, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

from mien.align import CropSpec
from mien_train.data.batches import EvaluationFaces, Faces
from mien_train.models.student import Student
from mien_train.teachers.base import Teacher


@dataclass(frozen=True, eq=False)
class Predictions:
    """Arrays over N images. ``logits`` (N, 8) are raw; ``expression`` -1 and NaN ``affect`` mean no label.

    ``classes``: the ids that occur as labels. A set of seven classes is scored over its seven, as the literature does:
    a prediction outside of them falls to the likeliest inside.
    """

    logits: NDArray[np.float32]
    predicted_affect: NDArray[np.float32]
    embedding: NDArray[np.float32]
    temperature: NDArray[np.float32]
    expression: NDArray[np.int64]
    affect: NDArray[np.float32]

    @property
    def classes(self) -> NDArray[np.int64]:
        return np.unique(self.expression[self.expression >= 0])

    def probabilities(self, *, calibrated: bool = True) -> NDArray[np.float64]:
        """Softmax over the classes of the set, (N, 8), zero elsewhere."""
        logits = self.logits.astype(np.float64)
        if calibrated:
            logits = logits / self.temperature
        logits[:, np.isin(np.arange(logits.shape[1]), self.classes, invert=True)] = -np.inf
        logits[np.isnan(logits)] = -np.inf  # a class that a teacher does not know
        weights = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(weights / weights.sum(1, keepdims=True))

    def labeled(self) -> Predictions:
        """Only the rows with an expression label."""
        keep = self.expression >= 0
        return replace(self, **{name: values[keep] for name, values in vars(self).items()})

    def accuracy(self) -> float:
        known = self.labeled()
        return float((known.probabilities().argmax(1) == known.expression).mean())


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Predictions on several sets as those on one."""
    return Predictions(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


@torch.inference_mode()
def predict(
    student: Student, item: Faces, spec: CropSpec, *, limit: int = 0, mirrored: bool = False, batch: int = 128
) -> Predictions:
    """Plain crops, no flip averaging: what the runtime would see. ``limit`` takes that many images, evenly spread."""
    was_training = student.training
    student.eval()
    device = next(student.parameters()).device
    if limit and limit < len(item.faces):
        item = item.subset(np.linspace(0, len(item.faces) - 1, limit).astype(int))
    parts = []
    for crops, expression, affect in DataLoader(EvaluationFaces(item, spec), batch):
        output = student((crops.flip(2) if mirrored else crops).to(device))
        parts.append([t.float().cpu().numpy() for t in output] + [expression.numpy(), affect.numpy()])
    student.train(was_training)
    return Predictions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def predict_teacher(teacher: Teacher, item: Faces, *, progress: bool = False, batch: int = 128) -> Predictions:
    """A teacher's outputs, on crops cut its own way. Its embedding has no columns where it gives none."""
    parts = []
    loader = DataLoader(EvaluationFaces(item, teacher.crop), batch)
    for crops, expression, affect in tqdm(loader, item.faces.name, disable=not progress, mininterval=5.0):
        made = teacher(crops, teacher.crop)
        embedding = torch.zeros((len(crops), 0)) if made.embedding is None else made.embedding
        outputs = (made.logits, made.affect, embedding, torch.ones((len(crops), 1)))
        parts.append([t.float().cpu().numpy() for t in outputs] + [expression.numpy(), affect.numpy()])
    return Predictions(*(np.concatenate(column) for column in zip(*parts, strict=True)))
