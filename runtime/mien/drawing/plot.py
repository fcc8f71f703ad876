"""Line and bar plots as pictures, drawn with OpenCV alone, because devices have no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.drawing.faces import LINES, WHITE, Color
from mien.files import write_whole
from mien.types import Image

Points = NDArray[np.float64]

WIDTH = 900
"""Width of a plot in layout units; the picture has twice as many px."""
DRAWN_PX, FINAL_PX, MARGIN, LETTERS = 4, 2, 24, 9
TEXT, DIM, GRID = (45, 45, 45), (120, 120, 120), (228, 228, 228)
TIMES = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))
"""Units of the time axis: the shortest span in s for which it is used, its length in s, its name."""


@dataclass(frozen=True, eq=False)
class Series:
    """A line over ``x`` (N,), increasing, in s. NaN in ``y`` (N,) is a gap; a point between two gaps is a dot."""

    name: str
    x: Points
    y: Points


@dataclass(frozen=True)
class Panel:
    """Lines over a common time axis, under a title ``name``. ``low`` and ``high`` are the ends of the other axis."""

    name: str
    low: float
    high: float
    series: Sequence[Series] = field(default_factory=tuple)


def line_plot(panels: Sequence[Panel], path: Path | None = None, *, title: str) -> Image:
    """Panels above each other, with one time axis -> uint8 BGR picture, also saved as PNG if there is a ``path``.

    Lines with the same name have the same color in all panels. OutputError if ``path`` cannot be written.
    """
    names = list(dict.fromkeys(series.name for panel in panels for series in panel.series))
    colors = {name: LINES[i % len(LINES)] for i, name in enumerate(names)}
    times = np.concatenate([np.zeros(0), *(s.x[np.isfinite(s.x)] for p in panels for s in p.series)])
    start, end = (float(times.min()), float(times.max())) if len(times) else (0.0, 1.0)
    end = end if end > start else start + 1
    legend, rows, tall, gap = 58.0, _legend_rows(names), 150, 56
    top = legend + 22 * len(rows)
    canvas = _Canvas(round(top + len(panels) * (tall + gap) + 28))
    canvas.text((MARGIN, 36), title, 1.3, TEXT, bold=True)
    for x, y, name in ((x, legend + 22 * i, name) for i, row in enumerate(rows) for x, name in row):
        canvas.line([(x, y), (x + 20, y)], colors[name], 3)
        canvas.text((x + 27, y + LETTERS / 2), name, 1, TEXT)
    seconds, unit = next((size, name) for span, size, name in TIMES if end - start >= span)
    left, right = MARGIN + 46.0, WIDTH - MARGIN - 8.0
    ticks = [tick * seconds for tick in ticks_of(start / seconds, end / seconds, 11)]
    marks = tick_names([tick / seconds for tick in ticks])
    for i, panel in enumerate(panels):
        upper = top + i * (tall + gap) + 32
        lower = upper + tall
        low, high = panel.low, panel.high if panel.high > panel.low else panel.low + 1
        across, down = (right - left) / (end - start), (lower - upper) / (high - low)
        canvas.text((left, upper - 10), panel.name, 1.05, TEXT, bold=True)
        heights = ticks_of(low, high, 5)
        for tick, name in zip(ticks, marks, strict=True):
            x = left + (tick - start) * across
            canvas.line([(x, upper), (x, lower)], GRID, 1)
            canvas.text((x, lower + 19), name, 1, DIM, align=0.5)
        for value, name in zip(heights, tick_names(heights), strict=True):
            y = lower - (value - low) * down
            canvas.line([(left, y), (right, y)], DIM if value == 0 else GRID, 1)
            canvas.text((left - 9, y + LETTERS / 2), name, 1, DIM, align=1)
        for series in panel.series:
            places = left + (series.x - start) * across, lower - (np.clip(series.y, low, high) - low) * down
            _draw_series(canvas, *places, colors[series.name])
    canvas.text((right, canvas.height - 16), f"time ({unit})", 1, DIM, align=1)
    return canvas.finish(path)


def bar_plot(
    rows: Sequence[tuple[str, float, float | None]], path: Path | None = None, *, title: str, unit: str
) -> Image:
    """Horizontal bars (name, value, upper) with a whisker to ``upper`` -> uint8 BGR picture, also saved at ``path``.

    A value that is not finite has no bar and is shown as n/a. OutputError if ``path`` cannot be written.
    """
    finite = [number for _, value, upper in rows for number in (value, upper) if number is not None]
    most = max([number for number in finite if math.isfinite(number)], default=0.0)
    most = most if most > 0 else 1.0
    names = [shorten(name, 0.4 * WIDTH) for name, _, _ in rows]
    values = [f"{_range(value, upper)} {unit}".strip() if math.isfinite(value) else "n/a" for _, value, upper in rows]
    left = MARGIN + max([text_width(name) for name in names], default=0.0) + 12
    right = WIDTH - MARGIN - max([text_width(value) for value in values], default=0.0) - 16
    step, top = 27, 62.0
    bottom = top + step * max(1, len(rows))
    canvas = _Canvas(round(bottom + 54))
    canvas.text((MARGIN, 36), title, 1.3, TEXT, bold=True)
    scale = (right - left) / most
    ticks = ticks_of(0, most, 7)
    for tick, name in zip(ticks, tick_names(ticks), strict=True):
        canvas.line([(left + tick * scale, top), (left + tick * scale, bottom)], GRID, 1)
        canvas.text((left + tick * scale, bottom + 18), name, 1, DIM, align=0.5)
    for i, ((_, value, upper), name, words) in enumerate(zip(rows, names, values, strict=True)):
        middle = top + step * (i + 0.5)
        canvas.text((left - 12, middle + LETTERS / 2), name, 1, TEXT, align=1)
        tip = left
        if math.isfinite(value):
            tip = left + max(0.0, value) * scale
            canvas.box((left, middle - 8), (tip, middle + 8), LINES[0])
        if upper is not None and math.isfinite(upper) and math.isfinite(value) and upper >= value:
            reach = left + max(0.0, upper) * scale
            canvas.line([(tip, middle), (reach, middle)], TEXT, 1.5)
            canvas.line([(reach, middle - 4), (reach, middle + 4)], TEXT, 1.5)
            tip = reach
        canvas.box((tip + 5, middle - 8), (tip + 13 + text_width(words), middle + 8), WHITE)
        canvas.text((tip + 9, middle + LETTERS / 2), words, 1, TEXT)
    canvas.line([(left, top), (left, bottom)], DIM, 1)
    return canvas.finish(path)


def save_png(image: Image, path: Path) -> None:
    """Write a PNG file. OutputError if that fails; an existing file then stays as it was."""
    write_whole(path, cv2.imencode(".png", image)[1].tobytes())


def ticks_of(low: float, high: float, most: int) -> list[float]:
    """Round numbers from ``low`` to ``high``: at most ``most`` multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def tick_names(ticks: Sequence[float]) -> list[str]:
    """Labels with the number of decimals that the finest tick needs; with an exponent if very large or very small."""
    if ticks and not 1e-4 < max(map(abs, ticks)) < 1e6:
        return [f"{tick:g}" for tick in ticks]
    decimals = max([len(f"{tick:.6f}".rstrip("0").split(".")[1]) for tick in ticks], default=0)
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _range(value: float, upper: float | None) -> str:
    """The value with three digits, and the upper one if there is one; without an exponent up to a million."""
    text = f"{value:.3g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:.0f}"
    return text if upper is None or not math.isfinite(upper) else f"{text} to {_range(upper, None)}"


def shorten(text: str, room: float, size: float = 1, *, bold: bool = False) -> str:
    """``text`` cut to fit into ``room``; unprintable characters, which file names may contain, become ``?``."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    cut = len(text)
    while cut and text_width(text, size, bold=bold) > room:
        cut -= 1
        text = text[:cut] + "..."
    return text


def text_width(text: str, size: float = 1, *, bold: bool = False) -> float:
    """Width in layout units."""
    return float(cv2.getTextSize(text, _font(bold), _scale(size), _thick(size))[0][0]) / DRAWN_PX


def _legend_rows(names: Sequence[str]) -> list[list[tuple[float, str]]]:
    rows: list[list[tuple[float, str]]] = []
    x = math.inf
    for name in names:
        wide = 27 + text_width(name) + 22
        if x + wide > WIDTH - MARGIN:
            rows.append([])
            x = MARGIN
        rows[-1].append((x, name))
        x += wide
    return rows


def _draw_series(canvas: _Canvas, x: Points, y: Points, color: Color) -> None:
    known = np.isfinite(x) & np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        if end - first == 1:
            canvas.dot((x[first], y[first]), 2, color)
        else:
            canvas.line(np.column_stack([x[first:end], y[first:end]]), color, 1.6)


class _Canvas:
    """A white picture. Coordinates are layout units of DRAWN_PX px each; it is shrunk at the end."""

    def __init__(self, height: int):
        self.height = height
        self._image: Image = np.full((height * DRAWN_PX, WIDTH * DRAWN_PX, 3), 255, dtype=np.uint8)

    def line(self, points: ArrayLike, color: Color, width: float) -> None:
        fixed = np.round(np.asarray(points, dtype=np.float64) * DRAWN_PX * 16).astype(np.int32)
        cv2.polylines(self._image, [fixed], False, color, max(1, round(width * DRAWN_PX)), cv2.LINE_AA, 4)

    def dot(self, middle: tuple[float, float], radius: float, color: Color) -> None:
        x, y = (round(float(value) * DRAWN_PX) for value in middle)
        cv2.circle(self._image, (x, y), round(radius * DRAWN_PX), color, -1, cv2.LINE_AA)

    def box(self, first: tuple[float, float], last: tuple[float, float], color: Color) -> None:
        (x1, y1), (x2, y2) = (tuple(round(value * DRAWN_PX) for value in point) for point in (first, last))
        cv2.rectangle(self._image, (x1, y1), (max(x1, x2 - 1), y2 - 1), color, -1)

    def text(
        self,
        start: tuple[float, float],
        text: str,
        size: float,
        color: Color,
        *,
        bold: bool = False,
        align: float = 0,
    ) -> None:
        """Draw text with its baseline at ``start``, which is its left, middle (``align`` 0.5) or right end (1)."""
        text = shorten(text, WIDTH - 2 * MARGIN, size, bold=bold)
        x, y = start[0] - align * text_width(text, size, bold=bold), start[1]
        place = round(x * DRAWN_PX), round(y * DRAWN_PX)
        cv2.putText(self._image, text, place, _font(bold), _scale(size), color, _thick(size), cv2.LINE_AA)

    def finish(self, path: Path | None) -> Image:
        size = (WIDTH * FINAL_PX, self.height * FINAL_PX)
        image = np.asarray(cv2.resize(self._image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        if path is not None:
            save_png(image, path)
        return image


def _font(bold: bool) -> int:
    return cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX


def _scale(size: float) -> float:
    """OpenCV's font scale at which capitals of size 1 are LETTERS units high."""
    return size * LETTERS * DRAWN_PX / cv2.getTextSize("H", _font(False), 1.0, 1)[0][1]


def _thick(size: float) -> int:
    return (
        max(1, round(size * LETTERS * DRAWN_PX / 12)) if cv2.__version__ < "5" else 1
    )  # cv2 4 draws letters as strokes
