"""Data, recipe and a trained student that tests of seconds can use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rough_intervals import rough
from tiny_data import write_split

import mien_train.evaluation.metrics
from mien.types import EXPRESSIONS
from mien_train.recipe import Recipe
from mien_train.settings import build


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of a test stays in the user's caches."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_DATASETS_CACHE", str(folder / "datasets"))
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "datasets")
        yield


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
    write_split(root / "affectnet-subset", "test", portrait, classes * 2, 6000)
    write_split(root / "unlabelled", "train", portrait, classes * 8, 7000, "unlabelled")
    return root


@pytest.fixture(scope="session")
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
            "augment": {"colour": 0.05, "grey": 0.0, "degrade": 0.1, "occlude": 0.1},
            "model": {"backbone": "test_efficientnet", "weights": ""},
            "optim": {"epochs": 2, "batch": 16, "rate": 8e-3, "ema": 0.8},
        },
    )


@pytest.fixture(scope="session")
def teacher(data: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished checkpoint that has learned the tints: forty steps on labels, then heads and card."""
    from mien_train.finish import finish
    from mien_train.supervised.trainer import train

    folder = tmp_path_factory.mktemp("teacher")
    path = train(replace(recipe, optim=replace(recipe.optim, steps=40)), data, folder, threads=1)
    shutil.copy(path, folder / "unfinished.pt")
    finish(path, data)
    return path


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rough intervals, ten times as fast, where nobody looks at them."""
    monkeypatch.setattr(mien_train.evaluation.metrics, "bootstrap", rough)
