"""A folder of all data sets that recipes and pages name, in their layout: a few faces of each, made of one portrait."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mien.types import EXPRESSIONS, Image
from mien_train.continual.classes import class_names
from mien_train.continual.recipe import load_continual
from mien_train.data.compounds import parents

FERPLUS = class_names(load_continual("compounds").classes.compounds)
CFEE = class_names(load_continual("cfee").classes.compounds)
SETS = {
    "ferplus/train": 4, "ferplus/validation": 3, "ferplus/test": 3,
    "cfee/train": 4, "cfee/validation": 2, "cfee/test": 5,
    "rafdb/train": 12, "rafdb/test": 2,
    "affectnet-subset/train": 2, "affectnet-subset/validation": 3, "affectnet-subset/test": 2, "affectnet-va/train": 5,
    "diffusionfer/train": 2, "unlabelled/train": 3,
}  # fmt: skip
"""Faces of each class in each set."""


def write_sets(root: Path, portrait: Image) -> None:
    """Write ``SETS`` into ``root``."""
    for seed, (name, each) in enumerate(SETS.items()):
        known = {"ferplus": FERPLUS, "cfee": CFEE}.get(name.split("/")[0], EXPRESSIONS)
        labels = [label for label in range(len(known)) for _ in range(each)]
        rng = np.random.default_rng(seed)
        images = [{"bytes": face(portrait, label, rng), "path": None} for label in labels]
        if name == "affectnet-subset/validation":  # a temporal encoder is validated on a sixth of it, chosen by hash
            for label in range(len(known)):
                while hashlib.sha1(images[label * each]["bytes"]).digest()[1] > 30:
                    images[label * each]["bytes"] = face(portrait, label, rng)
        columns = {"image": images, "expression": pa.array(_expressions(name, labels), pa.int8())}
        if name.startswith("ferplus"):
            columns["votes"] = [_votes(label) for label in labels]
        if name.startswith("cfee"):
            columns["category"] = [known[label] for label in labels]
            columns["person"] = pa.array([100 * seed + i % each for i in range(len(labels))], pa.int16())
        if name.startswith("affectnet-va"):
            columns["valence"] = pa.array(rng.uniform(-1, 1, len(labels)), pa.float32())
            columns["arousal"] = pa.array(rng.uniform(-1, 1, len(labels)), pa.float32())
        path = root / f"{name}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)


def face(portrait: Image, label: int, rng: np.random.Generator, size: int = 64) -> bytes:
    """A face in the tint of its class as a JPEG, ``size`` px wide, turned, moved and lit so that no two are alike."""
    turn = cv2.getRotationMatrix2D((223, 119), rng.uniform(-20, 20), rng.uniform(0.35, 0.5) * size / 64)
    turn[:, 2] += size / 2 - np.array([223, 119]) + rng.uniform(-0.1, 0.1, 2) * size
    head = cv2.warpAffine(portrait, turn, (size, size), flags=cv2.INTER_AREA)
    light = cv2.resize(rng.uniform(0.4, 1.4, (9, 9)), (size, size), interpolation=cv2.INTER_CUBIC)
    tint = cv2.cvtColor(np.array([[[label * 22 % 180, 120, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0] / 255
    return cv2.imencode(".jpg", (head * light[..., None] * tint).clip(0, 255).astype(np.uint8))[1].tobytes()


def _expressions(name: str, labels: list[int]) -> list[int]:
    if name.startswith("unlabelled"):
        return [-1] * len(labels)
    if name.startswith("ferplus"):
        return [int(np.argmax(_votes(label))) for label in labels]
    return [label if label < len(EXPRESSIONS) else -1 for label in labels]


def _votes(label: int) -> list[int]:
    """Of ten raters: all for a basic class but one who knows none, or six and four for the parents of a compound."""
    votes = np.zeros(10, int)
    if label < len(EXPRESSIONS):
        votes[[label, 9]] = 9, 1
    else:
        votes[list(parents(FERPLUS[label]))] = 6, 4
    return votes.tolist()
