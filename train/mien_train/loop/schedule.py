"""Which weights decay, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch


def parameter_groups(models: Iterable[torch.nn.Module], decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels only, as usual: not on biases and norms."""
    trained = [p for model in models for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1]
    rest = [p for p in trained if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]


def rate_factor(step: int, total: int, warmup: float) -> float:
    """Share of the peak rate at ``step``: up over ``warmup`` of all steps, then a cosine down to zero."""
    start = max(1, round(total * warmup))
    if step < start:
        return (step + 1) / start
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - start) / max(1, total - start))))
