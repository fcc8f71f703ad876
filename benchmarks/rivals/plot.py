"""Accuracy over latency: the programs that were run here, and mien at every size and precision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.rivals.catalog import FORMS, OURS

OWN, OTHERS = "#c0392b", ("#34495e", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKS = dict(zip(FORMS, ("o", "v", "s", "D"), strict=True))


def plot_report(folder: Path) -> None:
    """Of the reports on accuracy and on speed in this folder, if both are there and hold some program."""
    paths = [folder / f"rivals_{what}.json" for what in ("accuracy", "speed")]
    if all(path.is_file() for path in paths):
        accuracy, speed = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
        plot(accuracy, speed, folder / "rivals.png")


def plot(accuracy: dict[str, Any], speed: dict[str, Any], path: Path) -> None:
    """A panel a test set. Bars: 95 % of a binomial."""
    times = {name: row["frames by faces"]["1"]["over ours"] for name, row in speed["rivals"].items()}
    judged = accuracy["rivals"] | accuracy["ours"]
    programs = {name: row["sets"] for name, row in judged.items() if name in times}
    sets = list(dict.fromkeys(label for row in programs.values() for label in row))
    if not sets:
        return
    colors = dict(zip((name for name in programs if name not in FORMS), OTHERS, strict=False))
    canvas, axes = plt.subplots(2, (len(sets) + 1) // 2, figsize=(13, 7.2), layout="constrained", squeeze=False)
    for axis, label in zip(axes.flat, sets, strict=False):
        _panel(axis, {name: row[label] for name, row in programs.items() if label in row}, times, colors)
        axis.set_title(f"{label}, 7 classes", fontsize=11)
    for axis in axes.flat[len(sets) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("right, % of all faces;\na face not found counts as wrong")
    for axis in axes[-1]:
        axis.set_xlabel(f"time of a frame with one face, over {OURS}'s")
    handles, names = axes.flat[0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    canvas.savefig(path, dpi=90)
    plt.close(canvas)


def _panel(axis: Axes, rows: dict[str, Any], times: dict[str, float], colors: dict[str, str]) -> None:
    for name, row in rows.items():
        right, faces = row["theirs"]["accuracy of all"], row["images"]
        axis.errorbar(
            times[name],
            100 * right,
            196 * (right * (1 - right) / faces) ** 0.5,
            fmt=MARKS.get(name, "o"),
            color=OWN if name in FORMS else colors[name],
            markerfacecolor=OWN if name in FORMS else "none",
            elinewidth=0.7,
            label=name,
        )
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_ylim(0, 100)
    axis.grid(color="#eee", which="both")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
