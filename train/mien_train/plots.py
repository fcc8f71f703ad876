"""Pictures of results. No faces in them."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from mien.faces import EXPRESSIONS
from mien_train.metrics import confusion
from mien_train.predict import Predictions


def plot_confusion(tests: dict[str, Predictions], path: Path) -> None:
    """One confusion matrix per test set, in per cent of the true class."""
    figure, axes = plt.subplots(1, len(tests), figsize=(5.2 * len(tests), 5.2), squeeze=False, layout="constrained")
    for axis, (name, predictions) in zip(axes[0], tests.items(), strict=True):
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
        accuracy = np.trace(matrix) / matrix.sum()
        axis.set_title(f"{name}: {100 * accuracy:.1f} % of {matrix.sum()}")
        axis.set_xlabel("predicted, per cent of the true class")
        axis.spines[:].set_visible(False)
    axes[0][0].set_ylabel("true (images)")
    figure.savefig(path, dpi=110)
    plt.close(figure)
