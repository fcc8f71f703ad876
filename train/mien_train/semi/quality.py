"""How good pseudo-labels are, measured on faces whose labels were hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from mien.align import CropSpec
from mien.errors import MienError
from mien.types import EXPRESSIONS
from mien_train.data.batches import Faces
from mien_train.evaluation.predict import predict
from mien_train.models.student import Student


class TrainingStopped(MienError, RuntimeError):
    """A training that ended because a condition for stopping early was met."""


BREAK = 0.6
"""With pseudo-labels of a lower accuracy a student becomes worse than without them (arXiv:2403.11942)."""


def pseudo_quality(teacher: Student, judged: list[Faces], spec: CropSpec, levels: Tensor, limit: int) -> dict[str, Any]:
    """Figures on at most ``limit`` plain crops of ``judged``, drawn in proportion to the sizes of the sets.

    ``images``: their number; ``kept``: the share that is sure enough; ``accuracy`` of these (None if there are none),
    and ``accuracy_all``; ``classes``: the share of each class among the kept pseudo-labels, and ``truth`` among all
    labels; ``class_accuracy`` of the kept, by pseudo-label.
    """
    count = sum(len(item.faces) for item in judged)
    parts = [
        predict(teacher, item, spec, limit=max(1, round(limit * len(item.faces) / count))).labeled() for item in judged
    ]
    logits = np.concatenate([part.logits for part in parts]).astype(np.float64)
    truth = np.concatenate([part.expression for part in parts])
    weights = np.exp(logits - logits.max(1, keepdims=True))
    sure, label = (weights / weights.sum(1, keepdims=True)).max(1), logits.argmax(1)
    kept, right = sure >= levels.numpy()[label], label == truth
    return {
        "images": len(truth),
        "kept": _mean(kept),
        "accuracy": _mean(right[kept]),
        "accuracy_all": _mean(right),
        "classes": {name: _mean(label[kept] == c) for c, name in enumerate(EXPRESSIONS)},
        "truth": {name: _mean(truth == c) for c, name in enumerate(EXPRESSIONS)},
        "class_accuracy": {name: _mean(right[kept & (label == c)]) for c, name in enumerate(EXPRESSIONS)},
    }


def judge(quality: dict[str, Any], stop_below: float) -> str:
    """A warning where the pseudo-labels are poor, else an empty text. Raises TrainingStopped below ``stop_below``."""
    accuracy = quality["accuracy"]
    if accuracy is None:
        return "no pseudo-label is sure enough: lower semi.threshold, or give the teacher more steps (semi.lead)"
    summary = f"{accuracy:.1%} of the pseudo-labels of {quality['images']} faces with hidden labels are right"
    if accuracy < stop_below:
        raise TrainingStopped(
            f"{summary}, fewer than --stop-below {stop_below:g}: give the teacher more labels or steps (semi.lead), "
            "raise semi.threshold, or go on with --resume and without --stop-below"
        )
    return f"{summary}; below {BREAK:.0%} a student is better off without them" if accuracy < BREAK else ""


def _mean(values: np.ndarray[Any, Any]) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None
