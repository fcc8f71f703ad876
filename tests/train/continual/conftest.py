"""A student that knows the basic tints, made-up compounds for it to learn, and a recipe of seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_compounds import COMPOUNDS, write_ferplus
from tiny_teacher import write_checkpoint

from mien.align import CropSpec
from mien_train.continual.commands import Setup, prepare
from mien_train.continual.recipe import ContinualRecipe, load_continual
from mien_train.continual.sets import load_labeled
from mien_train.models.checkpoints import load_checkpoint
from mien_train.models.student import Student
from mien_train.recipe import Recipe
from mien_train.settings import build

RECIPE = f"""
[classes]
compounds = {list(COMPOUNDS)}
train = ["ferplus/train"]
test = ["ferplus/test"]
near_duplicates = -1
[memory]
size = 40
[learn]
epochs = 3
steps = 8
batch = 32
rate = 2e-3
head = 3
share = 0.25
gamma = 0.3
caution = 0
precision = "no"
"""


@pytest.fixture(scope="module")
def setup_data(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    root = tmp_path_factory.mktemp("compounds")
    write_ferplus(root, "train", portrait, 8, 0)
    write_ferplus(root, "test", portrait, 3, 9000)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, setup_data: Path) -> Path:
    """A student that can tell the eight basic tints."""
    path = write_checkpoint(tmp_path_factory.mktemp("basic") / "student.pt", CropSpec(32, "landmarks", 0.9))
    state = load_checkpoint(path)
    state["recipe"]["model"]["backbone"] = "test_efficientnet"
    torch.manual_seed(0)
    student = Student(build(Recipe, json.loads(json.dumps(state["recipe"]))).model)
    part = load_labeled("ferplus/train", COMPOUNDS, setup_data)
    rows = np.flatnonzero(part.label < 8)
    crops = torch.from_numpy(np.stack([part.item.crop(int(i), CropSpec(32, "landmarks", 0.9)) for i in rows]))
    optimizer = torch.optim.Adam(student.parameters(), lr=5e-3)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(student(crops).logits, torch.from_numpy(part.label[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save({**state, "ema": student.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def setup(checkpoint: Path, written: Path, setup_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return prepare(checkpoint, load_continual(str(written)), setup_data, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def recipe(written: Path) -> ContinualRecipe:
    return load_continual(str(written))
