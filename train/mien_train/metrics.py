"""Held-out figures: classification with intervals, calibration, and concordance for valence and arousal."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional import concordance_corrcoef
from torchmetrics.functional.classification import multiclass_calibration_error

from mien.faces import EXPRESSIONS

BINS = 15


def expression_metrics(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, Any]:
    """``probabilities`` (N, 8), ``labels`` (N,) canonical ids -> accuracy with 95 % interval, macro-F1, recalls, ECE.

    Macro figures are over the classes that occur as labels. The interval is Wilson's (1927).
    """
    matrix = confusion(probabilities, labels)
    hits, truth, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    present = truth > 0
    recall = hits[present] / truth[present]
    precision = hits[present] / np.maximum(predicted[present], 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    low, high = wilson(int(hits.sum()), len(labels))
    return {
        "images": len(labels),
        "accuracy": round(float(hits.sum() / len(labels)), 4),
        "interval": [round(low, 4), round(high, 4)],
        "macro_f1": round(float(f1.mean()), 4),
        "recall": {EXPRESSIONS[c]: round(float(r), 4) for c, r in zip(np.flatnonzero(present), recall, strict=True)},
        "calibration_error": round(calibration_error(probabilities, labels), 4),
    }


def confusion(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(8, 8) counts, rows the true class, columns the predicted one."""
    count = len(EXPRESSIONS)
    pairs = labels * count + probabilities.argmax(1)
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Expected calibration error (Naeini et al. 2015), 15 equal bins of the top probability."""
    error = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=probabilities.shape[1], n_bins=BINS
    )
    return float(error)


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a proportion."""
    share, spread = hits / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (share * (1 - share) / total + spread / (4 * total)) ** 0.5
    return middle - half, middle + half


def affect_metrics(predicted: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    """(N, 2) valence and arousal -> concordance (Lin 1989) and root mean square error of each."""
    made, real = torch.from_numpy(predicted).double(), torch.from_numpy(truth).double()
    ccc = concordance_corrcoef(made, real)
    rmse = (made - real).square().mean(0).sqrt()
    return {
        "images": len(truth),
        "ccc_valence": round(float(ccc[0]), 4),
        "ccc_arousal": round(float(ccc[1]), 4),
        "rmse_valence": round(float(rmse[0]), 4),
        "rmse_arousal": round(float(rmse[1]), 4),
    }
