"""Teachers that are torch networks: checkpoints of this project, and EmoNet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mien.align import CropSpec
from mien.errors import InputError
from mien.files import sha256
from mien.types import EXPRESSIONS
from mien_train.models.checkpoints import load_student
from mien_train.models.emonet import EMONET_8, EMONET_SIZE, load_emonet
from mien_train.teachers.base import TeacherOutput, check_classes, recrop, to_canonical


class CheckpointTeacher:
    """A checkpoint of ``fer-train run`` or ``distill``, with its calibrated logits for the classes of its card."""

    def __init__(self, path: Path):
        self.student, recipe, state = load_student(path)
        labels = state["card"]["labels"] if "card" in state else EXPRESSIONS
        unknown = tuple(name for name in EXPRESSIONS if name not in labels)
        self.unknown = torch.tensor([name in unknown for name in EXPRESSIONS])
        self.name, self.crop, self.identity = str(path), recipe.crop, identity_of(path, *unknown)
        self.has_affect = bool(recipe.data.affect)

    @torch.inference_mode()
    def __call__(self, crops: Tensor, spec: CropSpec) -> TeacherOutput:
        self.student.to(crops.device)
        if spec != self.crop:
            crops = recrop(crops, spec, self.crop).round().permute(0, 2, 3, 1)
        output = self.student(crops)
        affect = output.affect.clamp(-1, 1)
        if not self.has_affect:
            affect = torch.full_like(affect, float("nan"))
        logits = (output.logits / output.temperature).masked_fill(self.unknown.to(crops.device), float("nan"))
        return TeacherOutput(logits, affect, output.embedding)


@dataclass(frozen=True)
class EmoNetSpec:
    """``classes`` are those of ``emonet_8.pth``; for ``emonet_5.pth`` see EMONET_5 on its fifth class."""

    weights: str
    classes: tuple[str, ...] = EMONET_8
    crop: CropSpec = field(default_factory=lambda: CropSpec(EMONET_SIZE, "box", 1.0, rotate=False))

    def __post_init__(self) -> None:
        check_classes(self.classes)


class EmoNetTeacher:
    """EmoNet with a published checkpoint, or one like it. Raises InputError or ModelInvalid where it does not fit."""

    def __init__(self, spec: EmoNetSpec):
        path = Path(spec.weights)
        if spec.crop.size != EMONET_SIZE:
            raise InputError(f"EmoNet sees {EMONET_SIZE} px, not {spec.crop.size}")
        self.network = load_emonet(path)
        found = len(self.network.state_dict()["emo_fc_2.3.bias"]) - 2
        if found != len(spec.classes):
            raise InputError(f"{path} has {found} classes, the teacher's file names {len(spec.classes)}; set classes")
        self.classes, self.crop = spec.classes, spec.crop
        self.name, self.identity = str(path), identity_of(path, spec.classes, spec.crop)

    @torch.inference_mode()
    def __call__(self, crops: Tensor, spec: CropSpec) -> TeacherOutput:
        self.network.to(crops.device)
        output = self.network(recrop(crops, spec, self.crop) / 255)
        affect = torch.stack([output["valence"], output["arousal"]], dim=1).clamp(-1, 1)
        return TeacherOutput(to_canonical(output["expression"], self.classes), affect, output["embedding"])


def identity_of(path: Path, *more: object) -> str:
    """Hash of a file's content and of whatever else changes the outputs."""
    return hashlib.sha256(repr((sha256(path), *more)).encode()).hexdigest()[:16]
