"""A made-up data folder in the layout of the real one: the astronaut's face, tinted so that classes can be told."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def face_jpeg(portrait: np.ndarray, label: int, seed: int) -> bytes:
    """A 64 px face crop, jittered, with a tint that goes with its class."""
    rng = np.random.default_rng(seed)
    x, y = 165 + rng.integers(-8, 9, 2) - np.array([0, 107])
    face = cv2.resize(portrait[y : y + 125, x : x + 115], (64, 64), interpolation=cv2.INTER_AREA)
    hue = np.uint8([[[label * 22, 150, 255]]])
    tint = cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0] / 255
    face = np.clip(face * tint + rng.normal(0, 6, face.shape), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", face)[1].tobytes()


def write_split(folder: Path, split: str, portrait: np.ndarray, labels: list[int], seed: int, kind: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": face_jpeg(portrait, label, seed + i), "path": None} for i, label in enumerate(labels)]
    expression = [-1] * len(labels) if kind == "unlabelled" else labels
    columns: dict[str, object] = {"image": images, "expression": pa.array(expression, pa.int8())}
    if kind == "votes":  # nine for the class, one each for everything else
        columns["votes"] = [(1 + 9 * np.eye(10, dtype=int)[label]).tolist() for label in labels]
    if kind == "affect":
        columns["valence"] = pa.array([0.2 * label - 0.7 for label in labels], pa.float32())
        columns["arousal"] = pa.array([0.7 - 0.15 * label for label in labels], pa.float32())
    pq.write_table(pa.table(columns), folder / f"{split}-00000-of-00001.parquet")
