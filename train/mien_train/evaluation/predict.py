"""Run a student or a teacher over a set: its outputs beside the labels, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from mien.align import CropSpec
from mien_train.data.batches import EvaluationFaces, Faces
from mien_train.models.student import Student
from mien_train.teachers.base import Teacher
from mien_train.teachers.outputs import teacher_outputs


@dataclass(frozen=True, eq=False)
class Predictions:
    """Arrays over N images. ``logits`` (N, 8) are not calibrated; ``expression`` -1 and NaN ``affect`` mean no label.

    ``classes``: the ids that occur as labels. A set of seven classes is scored over its seven, as in the literature:
    the prediction is the likeliest of these, whatever the network thinks of others.
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

    def probabilities(self, *, calibrated: bool = True, every_class: bool = False) -> NDArray[np.float64]:
        """Softmax over the classes of the set, (N, 8), 0 for the others. ``every_class``: over all classes that the
        network knows, as the runtime gives them whatever the set."""
        logits = self.logits.astype(np.float64)
        if calibrated:
            logits = logits / self.temperature
        if not every_class:
            logits[:, np.isin(np.arange(logits.shape[1]), self.classes, invert=True)] = -np.inf
        logits[np.isnan(logits)] = -np.inf  # a class that a teacher does not know
        weights = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(weights / weights.sum(1, keepdims=True))

    def labeled(self) -> Predictions:
        """Only the images with an expression label."""
        keep = self.expression >= 0
        return replace(self, **{name: values[keep] for name, values in vars(self).items()})

    def accuracy(self) -> float:
        known = self.labeled()
        return float((known.probabilities().argmax(1) == known.expression).mean())


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Predictions on several sets as if they were one."""
    return Predictions(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


@torch.inference_mode()
def predict(
    student: Student, item: Faces, spec: CropSpec, *, limit: int = 0, mirrored: bool = False, batch: int = 128
) -> Predictions:
    """Predictions on plain crops, as the runtime cuts them, without averaging over mirror images. ``limit``: at most so
    many images, evenly spread over the set (0: all)."""
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


def predict_teacher(teacher: Teacher, item: Faces) -> Predictions:
    """A teacher's outputs, on crops cut its own way, as those of a student whose temperature is 1."""
    taught, faces = teacher_outputs(teacher, item), item.faces
    temperature = np.ones((len(faces), 1), np.float32)
    return Predictions(taught.logits, taught.affect, taught.embedding, temperature, faces.expression, faces.affect)
