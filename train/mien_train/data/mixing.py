"""Mixup (Zhang et al. 2018, arXiv:1710.09412): images of a batch blended in pairs, and what they teach with them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mien_train.data.batches import Sample

SPREAD = 0.4
"""Both parameters of the beta distribution of the shares: most blends show one face far more than the other."""


def mixed(batch: Sample, share: float, temperature: float) -> Sample:
    """``share`` of the N images blended with the image as far from the end of the batch as they are from its start.

    Targets, valence and arousal and the teacher's features are blended alike, a teacher's classes as probabilities at
    ``temperature``. What one of the two faces lacks is NaN for both. Draws come from torch's global generator.

    Args:
        batch: tensors of N images.
        share: from 0 to 1. 0 returns the batch as it is.
        temperature: of the distillation loss.
    """
    if share <= 0:
        return batch
    count = len(batch.crop)
    own = torch.distributions.Beta(SPREAD, SPREAD).sample((count,))
    own = torch.where(torch.rand(count) < share, torch.maximum(own, 1 - own), torch.ones(count)).to(batch.crop.device)

    def blend(values: Tensor) -> Tensor:
        weight = own.view(-1, *(1,) * (values.dim() - 1))
        # Where an image stays as it is, what the other lacks must not become its own NaN.
        return torch.where(weight == 1, values, weight * values + (1 - weight) * values.flip(0))

    return Sample(
        blend(batch.crop.float()).round().to(torch.uint8),
        blend(batch.target),
        blend(batch.affect),
        _blend_logits(batch.taught_logits, blend, temperature),
        blend(batch.taught_affect),
        blend(batch.taught_embedding),
    )


def _blend_logits(logits: Tensor, blend: Callable[[Tensor], Tensor], temperature: float) -> Tensor:
    """Logits whose softmax at ``temperature`` is the blend of the softmaxes; NaN for classes that either row lacks."""
    unknown = logits.isnan()
    known = torch.nan_to_num(logits).masked_fill(unknown, -1e4)
    blended = blend(F.softmax(known / temperature, dim=1)).clamp(min=1e-12).log() * temperature
    return blended.masked_fill(blend(unknown.float()) > 0, float("nan"))
