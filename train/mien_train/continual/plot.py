"""A plot of accuracy against classes learned, with a line for each method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

TITLES = {"new": "new classes learned so far", "basic": "basic classes", "all": "all classes so far"}


def plot_courses(table: dict[str, Any], path: Path) -> None:
    """Means over the orders with a band of one standard deviation, from the table of ``compare``."""
    figure, axes = plt.subplots(1, len(TITLES), figsize=(15, 4.6), layout="constrained")
    for axis, (name, title) in zip(axes, TITLES.items(), strict=True):
        for color, (method, figures) in zip(plt.colormaps["tab10"].colors, table.items(), strict=False):  # type: ignore[attr-defined]
            mean, spread = (100 * np.array(figures[key][name], float) for key in ("course", "course_spread"))
            tasks = np.arange(len(mean))  # a method that learns all at once has values at both ends only
            axis.plot(tasks, mean, marker="o", markersize=4, color=color, label=method)
            axis.fill_between(tasks, mean - spread, mean + spread, color=color, alpha=0.12, linewidth=0)
        axis.set(title=title, xlabel="new classes learned", ylim=(0, 100))
        axis.set_xticks(tasks)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy in percent, among all classes so far")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(table), frameon=False)
    figure.savefig(path, dpi=100)
    plt.close(figure)
