"""What a student is trained for: the loss of a batch, and its parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mien.align import CropSpec
from mien.errors import InputError
from mien_train.data.batches import Sample
from mien_train.losses.bound import bounded_affect_loss
from mien_train.losses.distillation import distillation_loss
from mien_train.losses.features import FeatureHint
from mien_train.losses.labels import affect_loss, soft_cross_entropy
from mien_train.models.student import StudentOutput
from mien_train.recipe import Recipe
from mien_train.teachers.base import Teacher


class Objective(nn.Module):
    """The loss against labels, or against labels and a teacher, as the recipe says.

    ``online``: a teacher that runs on the same crops as the student; None where its outputs come with the batch, from a
    cache. ``embedding``: width of the teacher's features, 0 if it has none.
    """

    def __init__(self, recipe: Recipe, student_width: int, online: Teacher | None = None, embedding: int = 0):
        super().__init__()
        self.distill, self.affect_weight = recipe.distill, recipe.optim.affect_weight
        self.spec: CropSpec = recipe.crop
        self.online = [online] if online else []  # in a list, so that its weights are not parameters of this module
        if recipe.distill.features > 0 and not embedding:
            raise InputError("distill.features: this teacher gives no features (an ensemble has none); set it to 0")
        self.hint = FeatureHint(student_width, embedding) if recipe.distill.features > 0 else None

    def forward(self, output: StudentOutput, batch: Sample) -> dict[str, Tensor]:
        logits, affect = output.logits.float(), output.affect.float()
        if not self.distill.teacher:
            expression = soft_cross_entropy(logits, batch.target)
            return self._sum(expression, affect_loss(affect, batch.affect))
        batch = self._ask(batch)
        distill = self.distill
        expression = distillation_loss(
            logits, batch.target, batch.taught_logits, alpha=distill.alpha, temperature=distill.temperature
        )
        if distill.affect:
            regression = bounded_affect_loss(
                affect, batch.affect, batch.taught_affect, margin=distill.margin, nu=distill.nu
            )
        else:
            regression = affect_loss(affect, batch.affect)
        if self.hint is None:
            return self._sum(expression, regression)
        return self._sum(expression, regression, self.hint(output.embedding.float(), batch.taught_embedding))

    def _sum(self, expression: Tensor, affect: Tensor, features: Tensor | None = None) -> dict[str, Tensor]:
        loss = expression + self.affect_weight * affect
        parts = {"expression": expression.detach(), "affect": affect.detach()}
        if features is not None:
            loss = loss + self.distill.features * features
            parts["features"] = features.detach()
        return {"loss": loss, **parts}

    @torch.no_grad()
    def _ask(self, batch: Sample) -> Sample:
        for teacher in self.online:
            taught = teacher(batch.crop, self.spec)
            embedding = batch.taught_embedding if taught.embedding is None else taught.embedding.float()
            # Tensors from inference mode cannot be part of a graph; their clones can.
            logits, affect = taught.logits.float().clone(), taught.affect.float().clone()
            batch = batch._replace(taught_logits=logits, taught_affect=affect, taught_embedding=embedding.clone())
        return batch
