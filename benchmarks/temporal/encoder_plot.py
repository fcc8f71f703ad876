"""What ``encoder.py`` found, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from mien_train.temporal.filters import Reading
from mien_train.temporal.sequences import Sequences


def plot(report: dict[str, Any], read: dict[str, Reading], part: Sequences, path: Path) -> None:
    """Accuracy against delay, and accuracy against flips, of every way; and one sequence as three ways show it."""
    figure, axes = plt.subplots(1, 3, figsize=(17, 5.2), layout="constrained")
    names = [name for name in report["test"] if not name.startswith("offline")]
    colors = dict(zip(report["test"], plt.get_cmap("tab20")(np.linspace(0, 1, len(report["test"]))), strict=True))
    for name in report["test"]:
        values = report["test"][name]
        value, low, high = (100 * v for v in values["accuracy"])
        for axis, x in ((axes[0], 1000 * values["delay"]), (axes[1], values["flips"][0])):
            if axis is axes[1] or name in names:
                error = [[value - low], [high - value]]
                axis.errorbar(x, value, error, fmt="o", color=colors[name], capsize=3, label=name)
    axes[0].set(xlabel="mean delay at onsets in ms", ylabel="accuracy in per cent", title="held-out sequences, live")
    axes[1].set(xlabel="flips of the label a second", ylabel="accuracy in per cent", title="live and offline")
    axes[1].axvline(report["truth"]["flips"], color="#999", linestyle=":")
    axes[1].annotate("truth", (report["truth"]["flips"], axes[1].get_ylim()[0]), color="#777")
    labels = axes[1].get_legend_handles_labels()
    figure.legend(*labels, loc="outside lower center", ncols=4, frameon=False)
    k = int(np.argmax([len(np.unique(row)) + (row[1:] != row[:-1]).sum() / 10 for row in part.label]))
    times = part.times[k]
    for name, style in (("raw", ":"), ("stream filters, as they are", "--"), ("encoder", "-")):
        axes[2].plot(times, read[name].affect[k, :, 0], style, label=name, color=colors[name])
    axes[2].plot(times, part.truth[k, :, 0], color="black", linewidth=1, label="truth")
    axes[2].set(xlabel="seconds", ylabel="valence", title="one held-out sequence", ylim=(-1, 1))
    axes[2].legend(frameon=False)
    figure.savefig(path, dpi=90)
    plt.close(figure)
