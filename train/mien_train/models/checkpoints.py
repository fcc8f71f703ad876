"""Checkpoints: weights, the recipe that made them and, once finished, the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from mien.errors import InputError, ModelInvalid
from mien.files import replacing
from mien_train.models.student import Student
from mien_train.recipe import Recipe
from mien_train.settings import build

COMPOUNDS_KEY = "compounds"
"""Key in a checkpoint's state: the names of the compounds that it learned, and their rows of the head."""


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this project. Raises InputError where there is none, ModelInvalid for anything else."""
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; train one with: fer-train run")
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # pickle, zip and torch raise anything on foreign bytes
        raise ModelInvalid(f"{path} is not a readable checkpoint: {error}") from error
    if not isinstance(state, dict) or not {"recipe", "ema"} <= set(state):
        raise ModelInvalid(f"{path} is not a checkpoint of mien: it has no recipe and weights")
    return state


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint that is whole or not there, however the process ends."""
    with replacing(path) as aside:
        torch.save(state, aside)


def recipe_of(state: dict[str, Any]) -> Recipe:
    """The recipe that a checkpoint was trained by. Keys that did not exist then have their defaults."""
    return build(Recipe, json.loads(json.dumps(state["recipe"])))


def load_student(path: Path) -> tuple[Student, Recipe, dict[str, Any]]:
    """A checkpoint's student (EMA weights, evaluation mode), its recipe, and the rest of its state."""
    return student_of(load_checkpoint(path))


def student_of(state: dict[str, Any]) -> tuple[Student, Recipe, dict[str, Any]]:
    """The same as ``load_student``, from a state that has been read already."""
    recipe = recipe_of(state)
    student = Student(recipe.model)
    student.load_state_dict(state["ema"])
    return student.eval().to(memory_format=torch.channels_last), recipe, state
