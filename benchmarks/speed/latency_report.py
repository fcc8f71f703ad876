"""What latency.py measured, against the bars, as a table and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from benchmarks.speed.peers import B0, EMONET, PAPER

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Patch

BARS = {PAPER: 0.5, B0: 0.28, EMONET: 0.02}
"""Network -> the most of its latency that ours may take: one picture, float32, the same engine and threads."""
PEAK_BAR = 0.65
"""The least of the float32 peak that ours should reach, one picture, one thread."""

Row = Mapping[str, Any]


def bars(rows: Sequence[Row], ours: str) -> list[dict[str, Any]]:
    """Each bar, on each engine and thread count: what was measured, and whether it holds."""
    found = []
    for row in rows:
        if row["precision"] != "fp32" or row["batch"] != 1:
            continue
        where = {"engine": row["engine"], "threads": row["threads"]}
        if row["network"] in BARS and row["over_ours"]:
            took, most = round(1 / row["over_ours"], 4), BARS[row["network"]]
            found.append({"bar": f"over {row['network']}", **where, "at most": most, "is": took, "holds": took <= most})
        if row["network"] == ours and row["threads"] == 1:
            reached = row["of_peak"]
            found.append(
                {"bar": "of the peak", **where, "at least": PEAK_BAR, "is": reached, "holds": reached >= PEAK_BAR}
            )
    return sorted(found, key=lambda made: made["bar"])


def show(report: Mapping[str, Any]) -> None:
    """Print all rows, the bars, and where our time goes."""
    rows = report["rows"]
    for precision, threads, engine in dict.fromkeys((r["precision"], r["threads"], r["engine"]) for r in rows):
        peak = report["peaks"][f"{precision}, {threads} threads"]
        print(f"\n{engine}, {precision}, {threads} thread(s); peak {peak['GMAC/s']} GMAC/s by {peak['by']}")
        print(
            f"{'network':28}{'batch':>6}{'ms':>10}{'tenth':>10}{'over ours':>11}{'GMAC/s':>9}{'of peak':>9}{'calls':>7}"
        )
        for row in rows:
            if (row["precision"], row["threads"], row["engine"]) == (precision, threads, engine):
                ratio = f"{row['over_ours']:11.2f}" if row["over_ours"] else " " * 11
                print(
                    f"{row['network']:28}{row['batch']:6}{row['ms']:10.3f}{row['tenth']:10.3f}{ratio}"
                    f"{row['gmac_per_s']:9.1f}{row['of_peak']:9.3f}{row['calls']:7}"
                )
    print(f"\nbandwidth, GB/s read and written: {report['bandwidth']}")
    for precision, kinds in report["layers"].items():
        print(f"\nlayers of ours, {precision}, ONNX Runtime, one thread, one crop")
        for kind, row in kinds.items():
            print(f"  {kind:22}" + "  ".join(f"{key} {value:g}" for key, value in row.items()))
    print()
    for made in report["bars"]:
        limit = f"at most {made['at most']}" if "at most" in made else f"at least {made['at least']}"
        said = "holds" if made["holds"] else "MISSED"
        print(f"{said:7} {made['bar']:28}{made['engine']}, {made['threads']} thread(s): {made['is']} ({limit})")


def plot(rows: Sequence[Row], ours: str, path: Path) -> None:
    """Milliseconds of one picture with one thread on ONNX Runtime (solid) and OpenVINO (pale), float32 beside INT8."""
    some = [row for row in rows if row["threads"] == 1 and row["batch"] == 1]
    names = sorted({r["network"] for r in some}, key=lambda name: max(r["ms"] for r in some if r["network"] == name))
    engines = list(dict.fromkeys(row["engine"] for row in some))
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, sharex=True, layout="constrained")
    place = np.arange(len(names))
    for axis, precision in zip(axes, ("fp32", "int8"), strict=True):
        for k, engine in enumerate(engines):
            for at, name in zip(place, names, strict=True):
                row = next(
                    (r for r in some if (r["network"], r["engine"], r["precision"]) == (name, engine, precision)), None
                )
                if row is None:
                    continue
                y = at + 0.4 * (k - (len(engines) - 1) / 2)
                axis.barh(y, row["ms"], 0.38, color="#c0392b" if name == ours else "#34495e", alpha=1 - 0.5 * k)
                ratio = "" if name == ours or not row["over_ours"] else f" ({row['over_ours']:.3g} ×)"
                axis.text(row["ms"], y, f" {row['ms']:.3g} ms{ratio}", va="center", fontsize=7)
        axis.set_title(f"{'float32' if precision == 'fp32' else 'INT8'}, one face, one thread", fontsize=10)
        axis.set(xscale="log", xlabel="milliseconds")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(place, names)
    axes[0].set_xlim(right=axes[0].get_xlim()[1] * 6)  # room for the words
    shades = [Patch(color="#34495e", alpha=1 - 0.5 * k) for k in range(len(engines))]
    axes[1].legend(shades, engines, frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)
