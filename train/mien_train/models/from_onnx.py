"""A bundle's fp32 weights in a student that can be trained, so that nobody needs a checkpoint to go on from a
bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mien.bundle import find_bundle, packaged_names
from mien.bundle.card import CARD
from mien.errors import InputError, ModelInvalid
from mien.types import EXPRESSIONS
from mien_train.models.checkpoints import COMPOUNDS_KEY, load_checkpoint, student_of
from mien_train.models.student import Student
from mien_train.recipe import DataRecipe, ModelRecipe, Recipe

PREFIX = "student."
"""Of the weights' names in a file that fer-export wrote. The rest of the name is that of the checkpoint."""
BESIDE = "compounds."
"""Of the names of the weights of compounds that it learned beside the basic classes."""


def is_bundle(model: str | Path) -> bool:
    """Whether a name stands for a bundle: a folder with a card, ``default``, or the name of another packaged one."""
    return str(model) in packaged_names() or (Path(model) / CARD).is_file()


def load_start(model: str | Path) -> dict[str, Any]:
    """The state that a network goes on from: of a checkpoint (.pt), or of a bundle by its folder or packaged name."""
    return bundle_state(model) if is_bundle(model) or Path(model).is_dir() else load_checkpoint(Path(model))


def load_trained(model: str | Path) -> tuple[Student, Recipe, dict[str, Any]]:
    """``load_student`` of a checkpoint or of a bundle."""
    return student_of(load_start(model))


def bundle_state(model: str | Path) -> dict[str, Any]:
    """A bundle as the state of a finished checkpoint: ``recipe``, ``ema``, ``origin``, ``card``, and ``compounds``
    where it has learned any.

    The export folded every batch norm into the convolution before it. It comes back as a norm with mean 0, variance 1
    and scale 1, so a network that is to train with batch statistics must measure them first (``measure_norms``). The
    recipe has the crop, the backbone and the names of the training sets; a bundle does not say how it was trained.

    Raises ModelNotFound, and ModelInvalid where fer-export did not write the file.
    """
    bundle = find_bundle(model)
    card = bundle.card
    if not card.backbone:
        raise ModelInvalid(f"{bundle.folder} does not name its backbone, so it cannot be trained on")
    weights = _initializers(bundle.model_file())
    names = tuple(entry.name for entry in card.training if "," not in entry.name)
    recipe = Recipe(card.crop, data=DataRecipe(train=names), model=ModelRecipe(backbone=card.backbone, weights=""))
    student = Student(recipe.model)
    state = student.state_dict()
    for conv, norm in _folded_norms(student):
        if (offset := weights.pop(f"{conv}.weight_bias", None)) is None:
            raise _foreign(bundle.folder, f"{conv} has no offset")
        module = student.get_submodule(norm)
        assert isinstance(module, nn.BatchNorm2d)
        weights[f"{norm}.weight"], weights[f"{norm}.bias"] = torch.ones_like(offset), offset
        weights[f"{norm}.running_mean"] = torch.zeros_like(offset)
        weights[f"{norm}.running_var"] = torch.full_like(offset, 1 - module.eps)
        weights[f"{norm}.num_batches_tracked"] = state[f"{norm}.num_batches_tracked"]
    if not card.has_affect:  # a head of zeros, of which the graph keeps no weights
        weights |= {name: torch.zeros_like(state[name]) for name in state if name.startswith("affect.")}
    try:
        student.load_state_dict({name: weights[name] for name in state})
    except (KeyError, RuntimeError) as error:
        raise _foreign(bundle.folder, str(error)) from error
    sets = ", ".join(names)
    compounds = [label for label in card.labels if label not in EXPRESSIONS]
    beside = {"names": compounds, "weight": weights.get(f"{BESIDE}weight"), "bias": weights.get(f"{BESIDE}bias")}
    if compounds and (beside["weight"] is None or beside["bias"] is None):
        raise _foreign(bundle.folder, "its labels are not those of its head")
    return {
        "recipe": recipe.to_dict(),
        "ema": student.state_dict(),
        "origin": f"{card.origin} The weights are those of the bundle {card.name}, trained on {sets}.".strip(),
        "card": json.loads(card.to_json()),
        **({COMPOUNDS_KEY: beside} if compounds else {}),
    }


def _initializers(path: Path) -> dict[str, Tensor]:
    try:
        import onnx
    except ImportError as error:
        raise InputError("reading the weights of a bundle needs onnx; run: pip install onnx") from error
    try:
        stored = onnx.load(path).graph.initializer
    except Exception as error:  # protobuf raises what it likes on foreign bytes
        raise ModelInvalid(f"{path} is not a readable ONNX file: {error}") from error
    return {
        item.name.removeprefix(PREFIX): torch.from_numpy(onnx.numpy_helper.to_array(item).copy())
        for item in stored
        if item.name.startswith((PREFIX, BESIDE))
    }


def _folded_norms(student: Student) -> list[tuple[str, str]]:
    """Names of each convolution and of the batch norm that follows it. timm registers them in the order of
    execution."""
    pairs, before = [], ""
    for name, module in student.named_modules():
        if isinstance(module, nn.Conv2d):
            before = name
        elif isinstance(module, nn.BatchNorm2d):
            pairs.append((before, name))
    return pairs


def _foreign(folder: Path, why: str) -> ModelInvalid:
    return ModelInvalid(f"{folder} cannot be trained on: its model.onnx is not as fer-export writes it ({why})")
