"""A made-up data folder in the layout of the real one: the astronaut's face, recoloured so that classes can be told."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.faces import EXPRESSIONS
from mien_train.recipe import Recipe, build


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
    columns: dict[str, object] = {"image": images, "expression": pa.array(labels, pa.int8())}
    if kind == "votes":
        columns["votes"] = [[1] * 8 + [0, 0] if label < 0 else np.eye(10, dtype=int)[label] * 9 + 1 for label in labels]
        columns["votes"] = [[int(v) for v in votes] for votes in columns["votes"]]
    if kind == "affect":
        columns["valence"] = pa.array([0.2 * label - 0.7 for label in labels], pa.float32())
        columns["arousal"] = pa.array([0.7 - 0.15 * label for label in labels], pa.float32())
    pq.write_table(pa.table(columns), folder / f"{split}-00000-of-00001.parquet")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    root = tmp_path_factory.mktemp("data")
    classes = list(range(len(EXPRESSIONS)))
    write_split(root / "ferplus", "train", portrait, classes * 8, 0, "votes")
    write_split(root / "ferplus", "validation", portrait, classes * 3, 1000, "votes")
    write_split(root / "ferplus", "test", portrait, classes * 3, 2000, "votes")
    write_split(root / "rafdb", "train", portrait, classes[:7] * 8, 3000)
    write_split(root / "rafdb", "test", portrait, classes[:7] * 3, 4000)
    write_split(root / "affectnet-va", "train", portrait, classes * 5, 5000, "affect")
    return root


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def recipe() -> Recipe:
    return build(
        Recipe,
        {
            "crop": {"size": 32, "anchor": "landmarks", "scale": 0.9},
            "workers": 0,
            "data": {
                "train": ["ferplus/train", "rafdb/train"],
                "validation": ["ferplus/validation"],
                "test": ["ferplus/test", "rafdb/test"],
                "near_duplicates": -1,
            },
            "model": {"backbone": "mobilenetv3_small_050", "weights": ""},
            "optim": {"epochs": 2, "batch": 16, "ema": 0.8},
        },
    )
