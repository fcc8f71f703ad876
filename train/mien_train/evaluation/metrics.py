"""Held-out figures, each with a bootstrap 95 % interval: classification, calibration, and valence and arousal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional import concordance_corrcoef, mean_squared_error, pearson_corrcoef
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_recall,
)

from mien.types import EXPRESSIONS

BINS = 15
COUNT = len(EXPRESSIONS)
RESAMPLES = 400
BOUNDS = (0.5, 0.7, 0.9)
"""Values of ``min_confidence`` that figures are given for."""


def bootstrap(statistic: Callable[[Tensor], Tensor], count: int, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """(2, K): the 2.5 and 97.5 percentiles of ``statistic`` (K values) over rows drawn with replacement (Efron 1979).

    ``statistic`` gets the indices (count,) of a resample. The same rows are drawn in every call with one ``count``.
    """
    generator = torch.Generator().manual_seed(0)
    draws = [statistic(torch.randint(count, (count,), generator=generator)) for _ in range(resamples)]
    return np.asarray(np.nanpercentile(torch.stack(draws).double().numpy(), [2.5, 97.5], axis=0))


def expression_metrics(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], names: Sequence[str] = EXPRESSIONS
) -> dict[str, Any]:
    """``probabilities`` (N, C), ``labels`` (N,) indices into ``names``, the C classes -> accuracy, macro-F1, recalls,
    calibration error.

    Macro figures are over the classes that occur. ``intervals`` holds the 95 % interval of each figure.
    """
    predicted, truth = torch.from_numpy(probabilities), torch.from_numpy(labels)
    present, count = torch.unique(truth), len(names)

    def figures(rows: Tensor) -> Tensor:
        p, y = predicted[rows], truth[rows]
        guess = p.argmax(1)
        # The recall of a class that does not occur in a resample is unknown, not 0.
        lacking = torch.bincount(y, minlength=count)[present] == 0
        recall = multiclass_recall(guess, y, count, average="none")[present].masked_fill(lacking, torch.nan)
        f1 = multiclass_f1_score(guess, y, count, average="none")[present].masked_fill(lacking, torch.nan)
        accuracy = multiclass_accuracy(guess, y, count, average="micro")
        return torch.cat([torch.stack([accuracy, f1.nanmean(), _calibration(p, y)]), recall])

    whole = figures(torch.arange(len(truth))).tolist()
    ranges = [[round(float(v), 4) for v in pair] for pair in bootstrap(figures, len(truth)).T]
    values = [round(value, 4) for value in whole]
    shown = [names[c] for c in present]
    return {
        "images": len(labels),
        **dict(zip(("accuracy", "macro_f1", "calibration_error"), values, strict=False)),
        "recall": dict(zip(shown, values[3:], strict=True)),
        "intervals": {
            **dict(zip(("accuracy", "macro_f1", "calibration_error"), ranges, strict=False)),
            "recall": dict(zip(shown, ranges[3:], strict=True)),
        },
    }


def accuracy_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[float, tuple[float, float]]:
    """Accuracy of ``first`` minus that of ``second`` (N, 8) on the same images, with its paired bootstrap interval."""
    gain = torch.from_numpy((first.argmax(1) == labels).astype(np.float64) - (second.argmax(1) == labels))
    low, high = bootstrap(lambda rows: gain[rows].mean()[None], len(labels), 2000)[:, 0]
    return round(float(gain.mean()), 4), (round(float(low), 4), round(float(high), 4))


def confusion(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(8, 8) counts, rows the true class, columns the predicted one."""
    counts = multiclass_confusion_matrix(torch.from_numpy(probabilities.argmax(1)), torch.from_numpy(labels), COUNT)
    return np.asarray(counts.numpy(), dtype=np.int64)


def calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Expected calibration error (Naeini et al. 2015), 15 equal bins of the top probability."""
    return float(_calibration(torch.from_numpy(probabilities), torch.from_numpy(labels)))


def kept_at(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], bounds: tuple[float, ...] = BOUNDS
) -> list[dict[str, float | None]]:
    """Share of the faces that keep a label at each ``min_confidence``, how many of those are right, and what their
    confidence promises. None where no face keeps one."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    rows: list[dict[str, float | None]] = []
    for bound in bounds:
        kept = confidence >= bound
        row: dict[str, float | None] = {"min_confidence": bound, "labelled": round(float(kept.mean()), 3)}
        for name, values in (("accuracy", right[kept]), ("promised", confidence[kept])):
            row[name] = round(float(values.mean()), 3) if kept.any() else None
        rows.append(row)
    return rows


def _calibration(probabilities: Tensor, labels: Tensor) -> Tensor:
    return multiclass_calibration_error(probabilities, labels, num_classes=probabilities.shape[1], n_bins=BINS)


def concordance(predicted: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, K) each -> (K,) concordance correlation coefficients (Lin 1989); 0 where one of the two does not vary."""
    pair = torch.from_numpy(predicted).double(), torch.from_numpy(truth).double()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The variance of predictions or target is close to zero")
        return np.nan_to_num(np.atleast_1d(concordance_corrcoef(*pair).numpy()))


def affect_metrics(predicted: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, Any]:
    """(N, 2) valence and arousal -> of each: concordance (Lin 1989), Pearson's correlation, root mean square error,
    and the share whose sign agrees (SAGR, Nicolaou, Gunes & Pantic 2011). ``intervals`` as above."""
    made, real = torch.from_numpy(predicted).double(), torch.from_numpy(truth).double()

    def figures(rows: Tensor) -> Tensor:
        p, y = made[rows], real[rows]
        error = mean_squared_error(p, y, squared=False, num_outputs=2)
        agree = (p.sign() == y.sign()).double().mean(0)
        return torch.cat([concordance_corrcoef(p, y), pearson_corrcoef(p, y), error, agree])

    names = [f"{measure}_{what}" for measure in ("ccc", "pcc", "rmse", "sagr") for what in ("valence", "arousal")]
    whole = figures(torch.arange(len(real))).tolist()
    ranges = bootstrap(figures, len(real)).T
    return {
        "images": len(truth),
        **{name: round(value, 4) for name, value in zip(names, whole, strict=True)},
        "intervals": {n: [round(float(v), 4) for v in pair] for n, pair in zip(names, ranges, strict=True)},
    }
