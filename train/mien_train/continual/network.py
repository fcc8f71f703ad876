"""A student in two parts: the frozen lower blocks, and the top blocks with a head that can grow."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.continual.classes import class_names
from mien_train.data.compounds import blend_of
from mien_train.models.checkpoints import COMPOUNDS_KEY, student_of
from mien_train.models.from_onnx import load_start
from mien_train.models.student import Student
from mien_train.recipe import Recipe


class Trunk(nn.Module):
    """uint8 crops (N, H, W, 3) RGB -> input of the top ``blocks``, (N, C, h, w). Nothing in it is trained."""

    def __init__(self, student: Student, blocks: int):
        super().__init__()
        backbone: Any = student.backbone
        self.layers = nn.Sequential(backbone.conv_stem, backbone.bn1, *split_blocks(student, blocks)[0])
        self.eval()

    @torch.no_grad()
    def forward(self, crops: Tensor) -> Tensor:
        x = (crops.float().permute(0, 3, 1, 2) - 127.5) / 127.5
        features: Tensor = self.layers(x)
        return features


class Tail(nn.Module):
    """The top ``blocks`` of a student, copied, and its head. Batch norms keep their statistics, since a task has too
    few images for its own."""

    def __init__(self, student: Student, blocks: int):
        super().__init__()
        backbone: Any = student.backbone
        chosen = [*split_blocks(student, blocks)[1], backbone.conv_head, backbone.bn2]
        self.blocks = copy.deepcopy(nn.Sequential(*chosen)).requires_grad_(True)
        self.pool = backbone.global_pool
        self.head = copy.deepcopy(student.expression)
        self.eval()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """-> logits (N, classes so far) and embedding (N, D)."""
        embedding = self.pool(self.blocks(features))
        return self.head(embedding), embedding

    def grow(self, name: str) -> None:
        """Add a class. It starts between the two expressions that it is made of: halfway in most, nearer to the
        stronger one in hatred, appalled and awed, so that these do not start where their equal blend does."""
        old, shares = self.head, blend_of(name)
        self.head = nn.Linear(old.in_features, old.out_features + 1)
        with torch.no_grad():
            for mine, theirs in ((self.head.weight, old.weight), (self.head.bias, old.bias)):
                mine[:-1] = theirs
                mine[-1] = sum(share * theirs[part] for part, share in shares.items())


def all_blocks(student: Student) -> list[nn.Module]:
    """The blocks of one of timm's mobile networks, from the stem upward. Raises InputError for other backbones."""
    parts = dict(student.backbone.named_children())
    if not {"conv_stem", "bn1", "blocks", "conv_head", "bn2", "global_pool"} <= set(parts):
        raise InputError("continual learning is for backbones like timm's MobileNetV1, V2 and EfficientNet")
    return [block for stage in parts["blocks"].children() for block in stage.children()]


def split_blocks(student: Student, top: int) -> tuple[list[nn.Module], list[nn.Module]]:
    """All blocks but the ``top`` ones, and these (perhaps none)."""
    blocks = all_blocks(student)
    return blocks[: len(blocks) - top], blocks[len(blocks) - top :]


def cut(student: Student, blocks: int) -> tuple[Trunk, Tail]:
    """Split a student below its top ``blocks``. Raises InputError where the backbone has no blocks, or not so many."""
    count = len(all_blocks(student))
    if blocks >= count:
        raise InputError(f"learn.blocks must be below {count}, the number of blocks of this backbone")
    return Trunk(student, blocks), Tail(student, blocks)


def grown_state(
    state: dict[str, Any], student: Student, tail: Tail, compounds: list[str], caution: float
) -> dict[str, Any]:
    """A checkpoint of ``student`` with the trained ``tail``. It can be read as a basic student; the new classes have a
    key of their own.

    ``caution`` becomes part of the biases of the new classes. The card is removed, since it does not describe these
    weights.
    """
    grown = copy.deepcopy(student)
    backbone: Any = grown.backbone
    blocks = len(tail.blocks) - 2
    top = (*split_blocks(grown, blocks)[1], backbone.conv_head, backbone.bn2)
    for mine, theirs in zip(top, tail.blocks, strict=True):
        mine.load_state_dict(theirs.state_dict())
    weight, bias = tail.head.weight.detach(), tail.head.bias.detach()
    grown.expression.load_state_dict({"weight": weight[: len(EXPRESSIONS)], "bias": bias[: len(EXPRESSIONS)]})
    rest = {key: value for key, value in state.items() if key != "card"}
    beside = {
        "names": compounds,
        "weight": weight[len(EXPRESSIONS) :].clone(),
        "bias": bias[len(EXPRESSIONS) :] - caution,
    }
    return {**rest, "ema": grown.state_dict(), COMPOUNDS_KEY: beside}


def grown_of(state: dict[str, Any]) -> tuple[Student, Recipe, tuple[tuple[str, ...], nn.Linear | None]]:
    """The student of a checkpoint's state, its recipe, and the names and the head of the compounds that it has learned
    (perhaps none)."""
    student, recipe, _ = student_of(state)
    if COMPOUNDS_KEY not in state:
        return student, recipe, ((), None)
    beside = state[COMPOUNDS_KEY]
    head = nn.Linear(student.expression.in_features, len(beside["names"]))
    head.load_state_dict({"weight": beside["weight"], "bias": beside["bias"]})
    return student, recipe, (tuple(beside["names"]), head.eval())


def load_grown(path: str | Path) -> tuple[Student, Recipe, nn.Linear, tuple[str, ...]]:
    """The student of a checkpoint or bundle, its recipe, its head with the compounds that it has learned (perhaps
    none), and the names of its classes."""
    student, recipe, (compounds, beside) = grown_of(load_start(path))
    if beside is None:
        return student, recipe, student.expression, EXPRESSIONS
    head = nn.Linear(student.expression.in_features, len(EXPRESSIONS) + len(compounds))
    with torch.no_grad():
        head.weight.copy_(torch.cat([student.expression.weight, beside.weight]))
        head.bias.copy_(torch.cat([student.expression.bias, beside.bias]))
    return student, recipe, head, class_names(compounds)
