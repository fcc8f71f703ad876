"""Data and recipe that a training of seconds can use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_data import write_split

from mien.faces import EXPRESSIONS
from mien_train.recipe import Recipe, build


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
