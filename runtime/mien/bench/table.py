"""The results of ``fer-bench`` for people: text tables, and a plot of all timings."""

from __future__ import annotations

from collections.abc import Sequence

from mien.bench.engines import Row
from mien.diagnostics.machine import Facts
from mien.drawing.plot import bar_plot
from mien.types import Image

Cell = str | float | None


def model_table(facts: Facts) -> str:
    """The rows of the model that have run, one per line."""
    head = ["device", "precision", "threads", "batch", "ms", "p95", "ms/crop", "crops/s", "cores", "crops/s/core"]
    keys = ["median_ms", "p95_ms", "ms_per_crop", "per_second", "cores", "per_second_per_core", "speed"]
    rows = [
        [row["device"], row["precision"], str(row["threads"] or "-"), str(row["batch"]), *(row[key] for key in keys)]
        for row in facts["rows"]
    ]
    lines = _lines(f"model {facts['name']}, crops of {facts['crop']} px", [*head, "speed"], rows, words=2)
    return "\n".join(lines + _skipped(facts))


def detector_table(facts: Facts) -> str:
    """The searches, one per line, with the sizes in px that the network sees."""
    rows = [
        [row["search"], _sizes(row["searched"]), row["median_ms"], row["p95_ms"], row["cores"]] for row in facts["rows"]
    ]
    head = ["search", "network sees", "ms", "p95", "cores"]
    return "\n".join(_lines(f"detector on {facts['engine']}, one thread", head, rows, words=2) + _skipped(facts))


def clip_table(facts: Facts) -> str:
    """The modes on the clip, one per line; below, how the time of a frame is spent, and the memory."""
    width, height = facts["size"]
    what = "drawn for this" if facts["drawn"] else facts["path"]
    rate = f", {facts['fps']:g} frames/s" if facts["fps"] else ""
    head = ["mode", "frames", "ms", "p95", "frames/s", "cores", "frames/s/core", "x real time"]
    keys = ["median_ms", "p95_ms", "per_second", "cores", "per_second_per_core", "times_real_time"]
    modes = facts["ways"]
    rows = [[mode, str(numbers["calls"]), *(numbers[key] for key in keys)] for mode, numbers in modes.items()]
    engine = next((f" on {numbers['engine']}" for numbers in modes.values()), "")
    lines = _lines(f"whole pipeline{engine}, clip {width}x{height}{rate}, {what}", head, rows, words=1)
    for mode, numbers in modes.items():
        parts = ", ".join(f"{name} {_number(value)}" for name, value in numbers["stages_ms"].items())
        lines.append(f"  {mode}: {_number(numbers['mean_ms'])} ms per frame on average = {parts}")
    for mode, numbers in modes.items():
        if numbers["peak_memory_mb"] is not None:
            growth = numbers["memory_growth_mb"]
            more = f", {growth:+.1f} MB in {numbers['memory_growth_frames']} frames" if growth is not None else ""
            lines.append(f"  {mode}: {numbers['peak_memory_mb']:.0f} MB at most, including Python and libraries{more}")
    if "stream_over_predict" in facts:
        lines.append(f"  a stream is {facts['stream_over_predict']:.2f} times as fast as predict on every frame")
    return "\n".join(lines)


def picture(report: Facts) -> Image:
    """Bars of all medians, with whiskers to the 95th percentiles: ms per crop, search and frame."""
    bars: list[tuple[str, float, float | None]] = []
    for row in report.get("model", {}).get("rows", []):
        name = str(Row(row["device"], row["precision"], row["threads"], row["batch"]))
        bars.append((f"a crop: {name}", row["ms_per_crop"], row["p95_ms"] / row["batch"]))
    for row in report.get("detector", {}).get("rows", []):
        bars.append((f"search: {row['search']}", row["median_ms"], row["p95_ms"]))
    for mode, numbers in report.get("clip", {}).get("ways", {}).items():
        bars.append((f"a frame, whole pipeline: {mode}", numbers["median_ms"], numbers["p95_ms"]))
    title = f"mien {report['mien']} on {report['machine']['processor']}: median to 95th percentile"
    return bar_plot(bars, title=title, unit="ms")


def _lines(title: str, head: Sequence[str], rows: Sequence[Sequence[Cell]], words: int) -> list[str]:
    """A table with a title; the first ``words`` columns are left-aligned, the others, with numbers, right-aligned."""
    cells = [list(head), *([cell if isinstance(cell, str) else _number(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [f"\n{title}"]
    for row in cells:
        parts = [
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"  {'  '.join(parts).rstrip()}")
    return lines


def _skipped(facts: Facts) -> list[str]:
    return [f"  not measured: {', '.join(names)} ({reason})" for reason, names in facts["skipped"].items()]


def _sizes(searched: Sequence[str]) -> str:
    return f"{len(searched)} x {searched[0]}" if len(searched) > 1 else "".join(searched)


def _number(value: float | None) -> str:
    """A number with about three digits."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
