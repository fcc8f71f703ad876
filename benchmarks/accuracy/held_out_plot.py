"""Accuracy against multiply-accumulates and latency: what ``held_out.py`` measured, and what others published."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.common import RESULTS
from mien.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PUBLISHED = Path(__file__).with_name("published.toml")
PANELS = {
    "RAF-DB": ("rafdb/test", "official test split, 7 classes", ""),
    "FER+": (
        "ferplus/test",
        "8 classes; ours: labels of over half of the votes,",
        "which images others count is not known",
    ),
    "AffectNet-8": (
        "affectnet-va/train",
        "AffectNet's validation images, 8 classes;",
        "ours: 125 of each class, theirs: up to 500",
    ),
    "AffectNet subset": (
        "affectnet-subset/test",
        "measured only: 8 classes, another test set,",
        "not comparable with AffectNet-8",
    ),
}
"""Title -> our test set, and what to know of the protocols."""
OURS, THEIRS = "#c0392b", "#34495e"
MARKS = {"fp32": "o", "fp16": "s", "int8": "v"}


def published(path: Path = PUBLISHED) -> list[dict[str, Any]]:
    """The figures of other projects. InputError where one lacks its source or protocol."""
    figures: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["figure"]
    for figure in figures:
        missing = {"name", "set", "accuracy", "protocol", "gmac", "source", "checked"} - set(figure)
        if missing or figure.get("set") not in PANELS:
            raise InputError(f"{path}: {figure.get('name')} needs {sorted(missing) or f'a set of {list(PANELS)}'}")
    return figures


def known_macs(folder: Path = RESULTS) -> dict[str, float]:
    """GMAC by network, as ``macs.py`` counted them; empty where it has not run."""
    path = folder / "macs.json"
    return {row["network"]: row["gmac"] for row in json.loads(path.read_text())["networks"]} if path.is_file() else {}


def known_latency(folder: Path = RESULTS) -> dict[str, float]:
    """Times our packaged student's latency by network, as ``latency.py`` and, for ``xs``, ``sizes.py`` measured it:
    ONNX Runtime, fp32, one thread, one picture. Empty where ``latency.py`` has not run."""
    path = folder / "latency.json"
    if not path.is_file():
        return {}
    wanted = {"engine": "ONNX Runtime", "precision": "fp32", "threads": 1, "batch": 1}
    rows = [row for row in json.loads(path.read_text())["rows"] if wanted.items() <= row.items()]
    times = {row["network"]: row["over_ours"] for row in rows if row["over_ours"]}
    sizes = folder / "sizes_xs.json"
    bundles = json.loads(sizes.read_text())["bundles"] if sizes.is_file() else []
    if bundles and times.get(bundles[0]["bundle"]) == 1:
        times |= {row["bundle"]: row["time, 1 threads, over the first"] for row in bundles[1:]}
    return times


def plot(report: dict[str, Any], path: Path, figures: list[dict[str, Any]] | None = None) -> None:
    """A column a test set; a second row where latencies are known. Hollow: published; filled: measured here."""
    figures = published() if figures is None else figures
    macs, latency = known_macs(), known_latency()
    bundles = report["bundles"]
    sizes = {name: bundle["px"] for name, bundle in bundles.items()}
    rows = 2 if latency else 1
    canvas, axes = plt.subplots(rows, len(PANELS), figsize=(15, 3.9 * rows + 0.5), layout="constrained", squeeze=False)
    for column, (title, (test, *protocol)) in enumerate(PANELS.items()):
        theirs = [figure for figure in figures if figure["set"] == title]
        measured = [row for row in report["rows"] if row["set"] == test and row["way"] == "crops"]
        points = [(macs.get(f.get("network", ""), f["gmac"]), f) for f in theirs]
        _panel(axes[0, column], measured, points, {name: b["gmac"] for name, b in bundles.items()}, sizes, (0.01, 60))
        top = axes[0, column]
        top.set_xlabel("GMAC a face")
        top.set_title(title, fontsize=12, pad=30)
        words = "\n".join(protocol)
        top.text(0.5, 1.02, words, transform=top.transAxes, ha="center", va="bottom", fontsize=8, color="#555")
        if latency:
            exact = [row for row in measured if row["precision"] == "fp32"]
            points = [(latency[f["network"]], f) for f in theirs if f.get("network") in latency]
            places = {name: latency.get(b["model"]) for name, b in bundles.items()}
            _panel(axes[1, column], exact, points, places, sizes, (0.08, 400))
            axes[1, column].set_xlabel("latency in fp32, over our packaged student's")
            axes[1, column].set_visible(bool(points))
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy, %")
    _legend(axes[0, -1], report)
    canvas.savefig(path, dpi=90)
    plt.close(canvas)


def _panel(
    axis: Axes,
    measured: list[dict[str, Any]],
    points: list[tuple[float, dict[str, Any]]],
    places: dict[str, float | None],
    sizes: dict[str, int],
    reach: tuple[float, float],
) -> None:
    """``points``: where others' figures stand, and what they are; ``places``: where our bundles stand; ``sizes``: px of
    their crops; ``reach``: of the axis."""
    names: list[tuple[float, float, str]] = []
    lowest: dict[str, tuple[float, float]] = {}
    tops: list[float] = []
    for row in measured:
        x, (low, high) = places[row["bundle"]], row["intervals"]["accuracy"]
        # One mark a precision: what engines give of the same form differs by less than a mark's width.
        if not x or not row["engine"].startswith("onnxruntime"):
            continue
        ends = [[100 * (row["accuracy"] - low)], [100 * (high - row["accuracy"])]]
        beside = x * 1.12 ** list(MARKS).index(row["precision"])
        axis.errorbar(
            beside,
            100 * row["accuracy"],
            ends,
            fmt=MARKS[row["precision"]],
            color=OURS,
            markersize=6,
            capsize=2,
            zorder=3,
        )
        tops.append(100 * high)
        lowest[row["bundle"]] = min(lowest.get(row["bundle"], (x, 100.0)), (x, 100 * low))
    for x, figure in points:
        # Its own test set: another shape, so that nobody reads a rank from it.
        shape = "D" if figure.get("own") else "o"
        axis.scatter(x, figure["accuracy"], s=55, marker=shape, facecolors="none", edgecolors=THEIRS, linewidths=1.5)
        text = f"{figure['name']}, its own\ncleaned images" if figure.get("own") else figure["name"]
        names.append((x, float(figure["accuracy"]), f"{text}  {figure['accuracy']:.1f}"))
    axis.set_xlim(*reach)  # before the scale: an empty panel would start at 0
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    for x, y, text in names:
        side, step = ("right", -8) if x > reach[1] / 20 else ("left", 8)
        axis.annotate(
            text, (x, y), xytext=(step, 0), textcoords="offset points", fontsize=8, color=THEIRS, va="center", ha=side
        )
    places_x = [x for x, _ in lowest.values()]
    apart = max(places_x, default=1.0) > 2 * min(places_x, default=1.0)
    for name, foot in lowest.items():
        text = "ours" if len(lowest) == 1 else f"ours, {sizes[name]} px"
        side = "center" if apart or len(lowest) == 1 else "left" if foot[0] == max(places_x) else "right"
        axis.annotate(text, foot, xytext=(0, -6), textcoords="offset points", fontsize=8, color=OURS, va="top", ha=side)
    heights = [y for _, y, _ in names] + [y for _, y in lowest.values()] + tops
    if heights:
        axis.set_ylim(min(heights) - 2, max(heights) + 2)
    axis.grid(color="#eee")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(axis: Axes, report: dict[str, Any]) -> None:
    held = {row["precision"] for row in report["rows"]}
    for precision in (key for key in MARKS if key in held):
        axis.plot([], [], MARKS[precision], color=OURS, label=f"measured here, {precision}, 95 %")
    axis.scatter(
        [], [], s=55, facecolors="none", edgecolors=THEIRS, linewidths=1.5, label="published, not measured here"
    )
    axis.legend(frameon=False, fontsize=8, loc="upper right")
