"""Pictures of results. No faces in them."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mien.types import EXPRESSIONS
from mien_train.evaluation.evaluate import Evaluation
from mien_train.evaluation.metrics import affect_metrics, confusion
from mien_train.evaluation.predict import Predictions

SMOOTH = 10
"""Training losses are shown as means over about so many values."""


def plot_evaluation(evaluation: Evaluation, path: Path, history: list[dict[str, float]] | None = None) -> bool:
    """One picture: the course of the training, a confusion matrix per test set, and valence and arousal.

    False where there is none of these, and so no picture.
    """
    top = 2 * bool(history) + 2 * (evaluation.affect is not None)
    columns = max(len(evaluation.tests), top, 1)
    rows = bool(top) + bool(evaluation.tests)
    if not rows:
        return False
    figure, axes = plt.subplots(rows, columns, figsize=(5.2 * columns, 5.0 * rows), squeeze=False, layout="constrained")
    spare = list(axes[0]) if top else []
    if history:
        _losses(spare.pop(0), history)
        _validation(spare.pop(0), history)
    if evaluation.affect is not None:
        for column, name in enumerate(("valence", "arousal")):
            _scatter(spare.pop(0), name, column, *evaluation.affect)
    below = list(axes[-1]) if evaluation.tests else []
    for name, predictions in evaluation.tests.items():
        _confusion(below.pop(0), name, predictions)
    for axis in spare + below:
        axis.set_axis_off()
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return True


def _losses(axis: Axes, history: list[dict[str, float]]) -> None:
    for name in sorted({key for row in history for key in row if key.startswith("train/")}):
        points = np.array([(row["step"], row[name]) for row in history if name in row])
        count = max(1, len(points) // SMOOTH)
        means = np.array([part.mean(0) for part in np.array_split(points, count)])
        axis.plot(means[:, 0], means[:, 1], label=name.removeprefix("train/"))
    axis.set(title="training losses", xlabel="step", ylim=(0, None))
    if axis.lines:  # a very short run has none
        axis.legend(frameon=False)


def _validation(axis: Axes, history: list[dict[str, float]]) -> None:
    for name in sorted({key for row in history for key in row if key.startswith("validation/")}):
        points = np.array([(row["step"], row[name]) for row in history if name in row])
        axis.plot(points[:, 0], 100 * points[:, 1], marker="o", label=name.removeprefix("validation/"))
    axis.set(title="held-out images during training", xlabel="step", ylabel="accuracy in percent")
    axis.legend(frameon=False)


def _scatter(axis: Axes, name: str, column: int, truth: NDArray[np.float32], predicted: NDArray[np.float32]) -> None:
    figures = affect_metrics(predicted, truth)
    axis.plot([-1, 1], [-1, 1], color="#999", linewidth=1)
    axis.scatter(truth[:, column], predicted[:, column], s=9, alpha=0.4, edgecolors="none")
    axis.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), xlabel=f"{name}, human", ylabel="predicted, held out")
    axis.set_title(f"{name}: CCC {figures[f'ccc_{name}']:.2f} on {len(truth)} images")
    axis.set_aspect("equal")


def _confusion(axis: Axes, name: str, predictions: Predictions) -> None:
    matrix = confusion(predictions.probabilities(), predictions.expression)
    present = predictions.classes
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    shares = shares[np.ix_(present, present)]
    names = [EXPRESSIONS[c] for c in present]
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        axis.text(column, row, f"{share:.0f}", ha="center", va="center", color="white" if share > 55 else "#333")
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), [f"{n} ({matrix[c].sum()})" for n, c in zip(names, present, strict=True)])
    axis.set_title(f"{name}: {100 * np.trace(matrix) / matrix.sum():.1f} % of {matrix.sum()}")
    axis.set_xlabel("predicted, percent of the true class")
    axis.spines[:].set_visible(False)
