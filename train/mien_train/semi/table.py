"""The comparison of the arms as a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from mien.types import EXPRESSIONS
from mien_train.semi.compare import ARMS, RARE, gain

Rows = list[dict[str, Any]]
COLORS = ("#7f8c8d", "#5dade2", "#2471a3", "#c0392b")


def as_markdown(rows: Rows) -> str:
    """A table for each share of the labels: mean ± standard deviation over the seeds, and the gain over labels
    alone."""
    text = []
    for share in sorted({row["labels"] for row in rows}):
        arms = [arm for arm in ARMS if _of(rows, arm, share)]
        text += [f"**{share:.0%} of the labels**", "", "| | " + " | ".join(arms) + " |", "|---" * (len(arms) + 1) + "|"]
        for figure in _of(rows, arms[0], share)[0]["figures"]:
            cells = [_spread([row["figures"][figure] for row in _of(rows, arm, share)]) for arm in arms]
            text.append(f"| {figure} | " + " | ".join(cells) + " |")
        for figure in ("mean accuracy", "mean rare recall"):
            cells = [_gain(rows, arm, share, figure) if arm != "labels" else "" for arm in arms]
            text.append(f"| {figure}, over labels alone [95 %] | " + " | ".join(cells) + " |")
        for key, name in (("accuracy", "right"), ("kept", "kept"), ("accuracy_all", "right if all were kept")):
            cells = [_spread(_quality(_of(rows, arm, share), key)) for arm in arms]
            text.append(f"| pseudo-labels: {name} | " + " | ".join(cells) + " |")
        for label in EXPRESSIONS:
            cells = [_spread(_quality(_of(rows, arm, share), "classes", label)) for arm in arms]
            truth = _quality([row for row in rows if row["labels"] == share], "truth", label)
            truly = f" (truly {np.mean(truth):.3f})" if truth else ""
            text.append(f"| pseudo-labels: share of {label}{truly} | " + " | ".join(cells) + " |")
        text.append("")
    return "\n".join(text)


def plot_arms(rows: Rows, path: Path) -> None:
    """Accuracy, rare recall and the classes of the pseudo-labels, a row for each share of the labels."""
    shares = sorted({row["labels"] for row in rows})
    figure, axes = plt.subplots(
        len(shares), 3, figsize=(15, 4.3 * len(shares)), squeeze=False, layout="constrained", width_ratios=(1, 1, 1.8)
    )
    for line, share in zip(axes, shares, strict=True):
        arms = [arm for arm in ARMS if _of(rows, arm, share)]
        _dots(line[0], rows, share, arms, "mean accuracy", "accuracy, mean of the test sets")
        _dots(line[1], rows, share, arms, "mean rare recall", f"recall of {', '.join(RARE)}")
        _classes(line[2], rows, share, arms)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _dots(axis: Axes, rows: Rows, share: float, arms: list[str], figure: str, title: str) -> None:
    for x, arm in enumerate(arms):
        values = [100 * row["figures"][figure] for row in _of(rows, arm, share)]
        axis.plot([x] * len(values), values, "o", color=_color(arm), markersize=6, fillstyle="none")
        axis.plot([x - 0.3, x + 0.3], [np.mean(values)] * 2, color=_color(arm), linewidth=3)
    axis.margins(0.15)
    axis.set_xticks(range(len(arms)), arms, rotation=20, ha="right")
    axis.set(title=f"{title}\n{share:.0%} of the labels, rings: seeds, line: mean", ylabel="percent")
    axis.spines[["top", "right"]].set_visible(False)


def _classes(axis: Axes, rows: Rows, share: float, arms: list[str]) -> None:
    taught = [arm for arm in arms if arm != "labels"]
    width = 0.8 / (len(taught) + 1)
    here = [row for row in rows if row["labels"] == share]
    series = [("hidden labels", "#bbb", here, "truth")]
    series += [(arm, _color(arm), _of(rows, arm, share), "classes") for arm in taught]
    for k, (name, color, some, key) in enumerate(series):
        found = [_quality(some, key, label) for label in EXPRESSIONS]
        values = [100 * float(np.mean(v)) if v else 0.0 for v in found]
        axis.bar(np.arange(len(EXPRESSIONS)) + k * width, values, width, color=color, label=name)
    axis.set_xticks(np.arange(len(EXPRESSIONS)) + 0.4 - width / 2, EXPRESSIONS, rotation=20, ha="right")
    axis.set(title=f"classes of the pseudo-labels, {share:.0%} of the labels", ylabel="percent")
    axis.set_ylim(0, 1.2 * axis.get_ylim()[1])
    axis.legend(frameon=False, ncols=len(series), loc="upper center")
    axis.spines[["top", "right"]].set_visible(False)


def _color(arm: str) -> str:
    return COLORS[list(ARMS).index(arm)]


def _of(rows: Rows, arm: str, share: float) -> Rows:
    return [row for row in rows if (row["arm"], row["labels"]) == (arm, share)]


def _quality(rows: Rows, key: str, label: str = "") -> list[float]:
    found = [row["quality"][key][label] if label else row["quality"][key] for row in rows if row["quality"]]
    return [value for value in found if value is not None]


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def _gain(rows: Rows, arm: str, share: float, figure: str) -> str:
    difference = gain(rows, arm, share, figure)
    if difference is None:
        return ""
    mean, half = difference
    return f"{mean:+.3f}" + ("" if np.isnan(half) else f" [{mean - half:+.3f}, {mean + half:+.3f}]")
