"""Confidence intervals of few resamples, many times as fast, where nobody looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mien_train.evaluation import metrics
from mien_train.evaluation.metrics import bootstrap


def rough(statistic: Callable[[Any], Any], count: int, resamples: int = 0) -> Any:
    """In place of ``bootstrap``."""
    return bootstrap(statistic, count, min(resamples, 400) or 20)


def use_rough_intervals() -> None:
    metrics.bootstrap = rough
