"""Made-up faces of compound expressions: FER+ votes, and the folders of CFEE and RAF-DB. Each class has a tint."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tiny_data import face_jpeg

from mien.types import EXPRESSIONS
from mien_train.continual.classes import class_names
from mien_train.data.compounds import parents

COMPOUNDS = ("fearfully surprised", "sadly angry")
NAMES = class_names(COMPOUNDS)


def tinted(portrait: np.ndarray, label: int, seed: int) -> bytes:
    """A face whose hue goes with its place in ``NAMES``."""
    face = cv2.imdecode(np.frombuffer(face_jpeg(portrait, 0, seed), np.uint8), cv2.IMREAD_GRAYSCALE)
    hue = np.uint8([[[label * 17, 200, 255]]])
    tint = cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0] / 255
    return cv2.imencode(".png", (face[..., None] * tint).astype(np.uint8))[1].tobytes()


def votes_for(label: int) -> list[int]:
    """Ten of the crowd: nine for a basic class, six and four for the parents of a compound."""
    votes = np.zeros(10, int)
    if label < len(EXPRESSIONS):
        votes[label], votes[9] = 9, 1
    else:
        first, second = parents(NAMES[label])
        votes[first], votes[second] = 6, 4
    return votes.tolist()


def write_ferplus(root: Path, split: str, portrait: np.ndarray, each: int, seed: int) -> None:
    labels = list(range(len(NAMES))) * each
    votes = [votes_for(label) for label in labels]
    columns = {
        "image": [{"bytes": tinted(portrait, label, seed + i), "path": None} for i, label in enumerate(labels)],
        "expression": pa.array([int(np.argmax(v)) for v in votes], pa.int8()),
        "votes": votes,
    }
    (root / "ferplus").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), root / "ferplus" / f"{split}-00000-of-00001.parquet")


def write_named(root: Path, name: str, portrait: np.ndarray, each: int, seed: int) -> None:
    """A set such as ``cfee/train`` whose column ``category`` names the compounds; half of its faces are of one
    person, half of another."""
    labels = list(range(len(NAMES))) * each
    columns = {
        "image": [{"bytes": tinted(portrait, label, seed + i), "path": None} for i, label in enumerate(labels)],
        "expression": pa.array([label if label < len(EXPRESSIONS) else -1 for label in labels], pa.int8()),
        "category": [NAMES[label] for label in labels],
        "person": pa.array([seed + i % 2 for i in range(len(labels))], pa.int16()),
    }
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), root / f"{name}-00000-of-00001.parquet")


def write_cfee(folder: Path, portrait: np.ndarray, people: int = 8) -> Path:
    """Neutral, fear, sadly angry (11), fearfully surprised (15), and awed (22)."""
    for person in range(100, 100 + people):
        for place, code in enumerate(("01", "04", "11", "15", "22")):
            path = folder / "01-04" / "Images1" / f"{code}_{person}_{person * 7}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tinted(portrait, place, person))
    return folder


def write_rafdb(folder: Path, portrait: np.ndarray) -> Path:
    """Two pictures to train on and two to test on: fearfully surprised (8) and sadly angry (4)."""
    (folder / "EmoLabel").mkdir(parents=True)
    (folder / "Image" / "aligned").mkdir(parents=True)
    names = [("train_0001", 8), ("train_0002", 4), ("test_0001", 8), ("test_0002", 4)]
    (folder / "EmoLabel" / "list_patition_label.txt").write_text("".join(f"{n}.jpg {code}\n" for n, code in names))
    for seed, (name, code) in enumerate(names):
        (folder / "Image" / "aligned" / f"{name}_aligned.jpg").write_bytes(tinted(portrait, code, seed))
    return folder
