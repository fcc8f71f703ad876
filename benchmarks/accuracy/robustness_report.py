"""What ``robustness.py`` found: as a table, as lines for the model card, as a heat map."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.corruptions import KINDS, Kind
from mien.bundle.card import CARD, read_card
from mien_export.model_card import FILE, model_card

TITLES = {"rafdb/test": "RAF-DB", "ferplus/test": "FER+", "affectnet-subset/test": "AffectNet subset"}
WORTH_SAYING = 5.0
"""Points of accuracy from which on a loss is told in the model card."""


def means(report: dict[str, Any], value: Callable[[dict[str, Any]], float]) -> NDArray[np.float64]:
    """(kinds, strengths): ``value`` of each case, its mean over the sets; NaN where a kind has fewer strengths."""
    made = np.full((len(KINDS), max(len(kind.strengths) for kind in KINDS)), np.nan)
    for k, kind in enumerate(KINDS):
        for j, strength in enumerate(kind.strengths):
            made[k, j] = np.mean(
                [
                    value(case)
                    for figures in report["sets"].values()
                    for case in figures["cases"]
                    if (case["kind"], case["strength"]) == (kind.name, strength)
                ]
            )
    return made


PREFACE = (
    "Points of accuracy lost under corruptions, mean of the test sets, a face that is not found counting as wrong "
    "(these sets are tight crops, so faces are harder to find in them than in scenes):"
)


def limits(report: dict[str, Any]) -> list[str]:
    """What a model card should say, the worst first: each kind's losses from where they are worth saying."""
    first = report["precisions"][0]
    loss, missed = means(report, partial(_loss, first)), means(report, lambda case: 1 - case["found"])
    lines, harmless = [], []
    for k in np.argsort(-np.nanmax(loss, axis=1)):
        told = [
            f"{in_words(KINDS[k], strength)}: {loss[k, j]:.0f}"
            + (f" ({missed[k, j]:.0%} of the faces not found)" if missed[k, j] >= 0.02 else "")
            for j, strength in enumerate(KINDS[k].strengths)
            if loss[k, j] >= WORTH_SAYING
        ]
        if told:
            lines.append(f"{KINDS[k].name}: {'; '.join(told)}")
        else:
            last = f" up to {in_words(KINDS[k], KINDS[k].strengths[-1])}" if len(KINDS[k].strengths) > 1 else ""
            harmless.append(KINDS[k].name + last)
    if harmless:
        lines.append(f"under {WORTH_SAYING:g} points: {', '.join(harmless)}")
    return lines


def write_card(report: dict[str, Any], folder: Path) -> None:
    """Put the worst cases behind the limits that the card of a bundle names, in place of those of an earlier run."""
    card = read_card(folder)
    told = " ".join((card.limits.split(PREFACE)[0].strip(), PREFACE, "; ".join(report["limits"]) + "."))
    card = dataclasses.replace(card, limits=told)
    (folder / CARD).write_text(card.to_json(), encoding="utf-8")
    (folder / FILE).write_text(model_card(card), encoding="utf-8")


def plot(report: dict[str, Any], path: Path) -> None:
    """A row a corruption, a column a strength: losses by set, then what they come of."""
    names, first, last = list(report["sets"]), report["precisions"][0], report["precisions"][-1]
    one = {name: {"sets": {name: report["sets"][name]}} for name in names}
    mean = "mean of the sets"
    panels = [(f"{TITLES.get(name, name)}\n{first}", means(one[name], partial(_loss, first)), 0) for name in names]
    panels.append((f"faces not found, %\n{mean}", means(report, lambda case: 100 - 100 * case["found"]), 0))
    panels.append((f"network alone, {last}\n{mean}", means(report, lambda case: case["network alone"][0]), 0))
    for key in report["precisions"][1:]:
        more = means(report, partial(_loss, key)) - means(report, partial(_loss, first))
        panels.append((f"{key} beyond {first}\n{mean}", more, 1))
    size = 1.65 * len(panels) + 3.6, 5.6
    figure, axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", sharey=True)
    for axis, (title, values, digits) in zip(axes, panels, strict=True):
        shown = axis.imshow(values, cmap="YlOrRd", vmin=0, vmax=60, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                text = f"{value + 0.0:.{digits}f}".replace("-", "−") if round(value, digits) else "0"
                axis.text(column, row, text, ha="center", va="center", color="white" if value > 36 else "#333")
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(values.shape[1]), ["mild", "", "severe"], fontsize=9)
        for edge in np.arange(len(KINDS)) + 0.5:
            axis.axhline(edge, color="white", linewidth=2)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    axes[0].set_yticks(range(len(KINDS)), [f"{kind.name}, {in_words(kind, *kind.strengths)}" for kind in KINDS])
    figure.colorbar(shown, ax=axes, label="points of accuracy lost", shrink=0.6, pad=0.01)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _loss(precision: str, case: dict[str, Any]) -> float:
    return float(case["loss"][precision][0])


def in_words(kind: Kind, *strengths: float) -> str:
    """Strengths with their unit."""
    return kind.shown.format(" · ".join(f"{strength:g}" for strength in strengths))


def table(report: dict[str, Any]) -> str:
    """A line a corruption: points lost in each set in the first precision, faces found, and the network's share."""
    names, first = list(report["sets"]), report["precisions"][0]
    lines = ["  ".join(["corruption".ljust(34), *(name.rjust(22) for name in names), "found", "network"])]
    for cases in zip(*(figures["cases"] for figures in report["sets"].values()), strict=True):
        kind = next(kind for kind in KINDS if kind.name == cases[0]["kind"])
        words = f"{kind.name}, {in_words(kind, cases[0]['strength'])}"
        cells = ["{:6.1f} [{:5.1f}, {:5.1f}]".format(*case["loss"][first]).rjust(22) for case in cases]
        found = float(np.mean([case["found"] for case in cases]))
        alone = float(np.mean([case["network alone"][0] for case in cases]))
        lines.append("  ".join([words.ljust(34), *cells, f"{found:5.0%}", f"{alone:7.1f}"]))
    return "\n".join(lines)
