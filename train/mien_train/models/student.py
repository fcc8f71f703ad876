"""The student: a timm backbone with an expression head and an affect head on one embedding."""

from __future__ import annotations

from typing import Any, NamedTuple

import timm
import torch
from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d
from torch import Tensor, nn

from mien.engines.head import MOST_LOG_TEMPERATURE
from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.models import dlib_resnet, short_mobilenet  # noqa: F401  they register their backbones
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
    """Crops as the runtime cuts them -> logits, affect, embedding and temperature."""

    def __init__(self, recipe: ModelRecipe):
        super().__init__()
        try:
            # TensorFlow's padding, as the pretrained weights were trained with.
            padding: dict[str, Any] = {"pad_type": "same"} if recipe.backbone.startswith("mobilenetv1") else {}
            self.backbone = timm.create_model(
                recipe.backbone, num_classes=0, drop_path_rate=recipe.drop_path, **padding
            )
        except RuntimeError as error:
            raise InputError(f"timm has no backbone {recipe.backbone!r}: {error}") from error
        for module in self.backbone.modules():
            # A plain mean: torch exports its own pooling layer as shape arithmetic and a gather.
            if isinstance(module, SelectAdaptivePool2d) and isinstance(module.pool, nn.AdaptiveAvgPool2d):
                module.pool = SelectAdaptivePool2d(pool_type="fast").pool
        # The width after the pooling: some backbones have a wider layer before it than num_features says.
        width = int(getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features)  # type: ignore[arg-type]
        self._frozen = _first_blocks(self.backbone, recipe.frozen)
        for part in self._frozen:
            part.requires_grad_(False)
        self.dropout = nn.Dropout(recipe.dropout)
        self.expression = nn.Linear(width, len(EXPRESSIONS))
        # The affect head sees the embedding and the class probabilities: the mean valence and arousal of each class are
        # strong predictors already, and the embedding corrects them.
        self.affect = nn.Linear(width + len(EXPRESSIONS), 2)
        # Fitted after training on validation images (calibrate.py); until then the temperature is 1.
        self.log_temperature = nn.Linear(width, 1).requires_grad_(False)
        nn.init.zeros_(self.log_temperature.weight)
        nn.init.zeros_(self.log_temperature.bias)

    def train(self, mode: bool = True) -> Student:
        super().train(mode)
        for part in self._frozen:  # so that their norms keep their statistics
            part.eval()
        return self

    def forward(self, crops: Tensor) -> StudentOutput:
        """``crops``: uint8 (N, H, W, 3) RGB."""
        # Cast first: TensorRT can cast bytes, and nothing else. Permuting then gives a tensor in channels-last layout,
        # the fast one on CPU and GPU, without a copy.
        x = (crops.float().permute(0, 3, 1, 2) - 127.5) / 127.5
        embedding = self.backbone(x)
        logits = self.expression(self.dropout(embedding))
        affect = self.affect(torch.cat([embedding, logits.softmax(1)], dim=1))
        return StudentOutput(logits, affect, embedding, self.temperature(embedding))

    def temperature(self, embedding: Tensor) -> Tensor:
        """(N, D) -> (N, 1), from 0.2 to 5."""
        return self.log_temperature(embedding).clamp(-MOST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE).exp()


def _first_blocks(backbone: nn.Module, count: int) -> list[nn.Module]:
    """The stem and the first ``count`` blocks of one of timm's mobile networks; nothing for 0."""
    if not count:
        return []
    try:
        stem = [backbone.get_submodule("conv_stem"), backbone.get_submodule("bn1")]
        blocks = [block for stage in backbone.get_submodule("blocks").children() for block in stage.children()]
    except AttributeError as error:
        raise InputError(f"model.frozen is for timm's mobile networks, which have stem and blocks: {error}") from error
    return [*stem, *blocks[:count]]
