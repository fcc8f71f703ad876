"""Figures of continual learning, from the predictions on the tested faces after every class learned."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mien.types import EXPRESSIONS
from mien_train.evaluation.metrics import bootstrap

BASIC = len(EXPRESSIONS)


def accuracy(predicted: NDArray[np.int64], label: NDArray[np.int64], among: list[int]) -> float:
    """Accuracy on the faces whose class is ``among`` these."""
    rows = np.isin(label, among)
    return float((predicted[rows] == label[rows]).mean())


def balanced_accuracy(predicted: NDArray[np.int64], label: NDArray[np.int64], among: list[int]) -> float:
    """Mean recall of the classes ``among`` these that occur."""
    present = [c for c in among if (label == c).any()]
    return float(np.mean([accuracy(predicted, label, [c]) for c in present]))


def course(stages: NDArray[np.int64], label: NDArray[np.int64], order: list[int]) -> dict[str, list[float]]:
    """Accuracies after 0, 1, ... classes learned. ``stages`` (T + 1, N) are predictions, -1 where a face was left out,
    ``order`` (T,) the new classes in order. ``new`` is over those learned so far, ``all`` over these and the basic
    ones. NaN where nothing was tested.
    """
    accuracies: dict[str, list[float]] = {"new": [], "basic": [], "all": []}
    for t, predicted in enumerate(stages):
        asked = predicted >= 0
        if not asked.any():
            for values in accuracies.values():
                values.append(float("nan"))
            continue
        known, basic = order[:t], list(range(BASIC))
        part = (predicted[asked], label[asked])
        accuracies["new"].append(accuracy(*part, known) if known else float("nan"))
        accuracies["basic"].append(accuracy(*part, basic))
        accuracies["all"].append(accuracy(*part, basic + known))
    return accuracies


def summary(stages: NDArray[np.int64], label: NDArray[np.int64], order: list[int]) -> dict[str, float]:
    """Figures at the end. ``stages`` is as above. The faces of its last row are those that count.

    ``basic_forgetting``: accuracy on the basic classes before, minus that after. ``forgetting`` (Chaudhry et al. 2018,
    ECCV, equation 3): the best accuracy on a class while others were learned, minus the last; mean over all new classes
    but the last. ``backward_transfer`` (Lopez-Paz & Ranzato 2017, NeurIPS, equation 3): the last accuracy on a class,
    minus that right after learning it; mean over the same classes. Both are 0 where only one class was learned, or all
    at once.
    """
    together = not (stages >= 0).any(1).all()
    asked = stages[-1] >= 0
    stages, label = stages[:, asked], label[asked]
    first, last, basic = stages[0], stages[-1], list(range(BASIC))
    courses = [
        [accuracy(stages[t], label, [c]) for t in range(k + 1, len(stages))]
        for k, c in enumerate(order[:-1])
        if not together and (label == c).any()
    ]
    return {
        "new": accuracy(last, label, order),
        "new_balanced": balanced_accuracy(last, label, order),
        "basic": accuracy(last, label, basic),
        "basic_balanced": balanced_accuracy(last, label, basic),
        "all": accuracy(last, label, basic + order),
        "basic_forgetting": accuracy(first, label, basic) - accuracy(last, label, basic),
        "forgetting": float(np.mean([max(part[:-1]) - part[-1] for part in courses])) if courses else 0.0,
        "backward_transfer": float(np.mean([part[-1] - part[0] for part in courses])) if courses else 0.0,
    }


def at_loss(
    logits: NDArray[np.float32],
    classes: NDArray[np.int64],
    label: NDArray[np.int64],
    before: float,
    limit: float = 0.02,
) -> NDArray[np.int64]:
    """Predictions (N,) with the least caution at which the accuracy on the basic classes, ``before`` learning, falls by
    at most ``limit``.

    Some methods predict new classes more readily than others. This compares them where the basic classes lose equally
    much. ``logits`` (N, C) in the order of ``classes`` (C,). No new class is predicted where no caution is enough.
    """
    fresh = classes >= BASIC
    for caution in np.arange(-3, 10, 0.05):
        predicted = classes[(logits - np.where(fresh, caution, 0)).argmax(1)]
        if before - accuracy(predicted, label, list(range(BASIC))) <= limit:
            return predicted
    return classes[~fresh][logits[:, ~fresh].argmax(1)]


def new_at_loss(
    logits: NDArray[np.float32],
    classes: NDArray[np.int64],
    label: NDArray[np.int64],
    before: float,
    limit: float = 0.02,
) -> float:
    """Accuracy on the new classes of the predictions of ``at_loss``."""
    return accuracy(at_loss(logits, classes, label, before, limit), label, classes[classes >= BASIC].tolist())


def interval(right: NDArray[np.float64]) -> list[float]:
    """95 % bootstrap interval, over the faces, of the mean of ``right`` (N,): how often each was right, or a difference
    of two such arrays."""
    values = torch.from_numpy(np.ascontiguousarray(right, dtype=np.float64))
    return [round(float(v), 4) for v in bootstrap(lambda rows: values[rows].mean()[None], len(values), 2000)[:, 0]]
