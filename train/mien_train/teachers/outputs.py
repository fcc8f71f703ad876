"""Run a teacher over a set."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from mien_train.data.batches import EvaluationFaces, Faces, Taught
from mien_train.teachers.base import Teacher

BATCH = 128


def teacher_outputs(teacher: Teacher, item: Faces, *, progress: bool = False) -> Taught:
    """A teacher's outputs on crops cut its own way. Its embedding has no columns where it gives none."""
    parts = []
    loader = DataLoader(EvaluationFaces(item, teacher.crop), BATCH)
    for crops, *_ in tqdm(loader, item.faces.name, disable=not progress, mininterval=5.0):
        output = teacher(crops, teacher.crop)
        embedding = torch.zeros((len(crops), 0)) if output.embedding is None else output.embedding
        parts.append([part.float().cpu().numpy() for part in (output.logits, output.affect, embedding)])
    return Taught(*(np.concatenate(column) for column in zip(*parts, strict=True)))
