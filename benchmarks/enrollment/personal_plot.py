"""What ``personal.py`` found, as a picture: the trade between new and basic classes, and figures by their number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLORS = {1: "#999999", 3: "#56b4e9", 5: "#d55e00", 20: "#0072b2"}
TARGET = 0.60


def plot(report: dict[str, Any], path: Path) -> None:
    canvas, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    _trade(left, report["limits"])
    _by_classes(middle, report["grid"], "all", "all basic and new classes competing,\nbasic ones lose at most 1 point")
    _by_classes(right, report["grid"], "new", "among the new classes alone")
    middle.set_ylim(0, 1)
    right.axhline(TARGET, color="#555", lw=1, ls=":")
    right.plot([1, 6], [1, 1 / 6], alpha=0)
    canvas.suptitle(f"Compound expressions of FER+ (test) enrolled from examples, mean of {report['draws']} draws ± SD")
    canvas.savefig(path, dpi=90)
    plt.close(canvas)


def _trade(axis: Axes, rows: list[dict[str, Any]]) -> None:
    for shots, color in COLORS.items():
        mine = [row for row in rows if row["shots"] == shots]
        x = [100 * row["loss_plain_ferplus"]["mean"] for row in mine]
        y = [row["all"]["mean"] for row in mine]
        wide = [100 * row["loss_plain_ferplus"]["sd"] for row in mine]
        axis.errorbar(x, y, [row["all"]["sd"] for row in mine], wide, "o-", color=color, ms=4, lw=1.5, elinewidth=0.6)
    axis.axvline(1, color="#555", lw=1, ls=":")
    axis.axhline(TARGET, color="#555", lw=1, ls=":")
    axis.set(ylim=(0, 1), xlabel="points of accuracy that basic faces of FER+ lose", ylabel="balanced accuracy")
    axis.set_title("3 new classes against the 8 basic ones,\nby the loss that is allowed", fontsize=10)
    axis.grid(alpha=0.2)


def _by_classes(axis: Axes, rows: list[dict[str, Any]], key: str, title: str) -> None:
    for shots, color in COLORS.items():
        mine = [row for row in rows if row["shots"] == shots]
        x = [row["classes"] + 0.05 * (list(COLORS).index(shots) - 1.5) for row in mine]
        means, spread = [row[key]["mean"] for row in mine], [row[key]["sd"] for row in mine]
        label = f"{shots} example{'s' * (shots > 1)}"
        axis.errorbar(x, means, spread, fmt="o-", color=color, ms=4, lw=1.5, elinewidth=0.8, label=label)
    axis.set(ylim=(0, 1.03), xlabel="new classes", ylabel="balanced accuracy")
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, loc="lower left" if key == "new" else "upper right")
    axis.grid(alpha=0.2)
