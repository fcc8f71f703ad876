"""Line and bar plots as pictures, drawn with OpenCV alone: a device has no plotting library."""

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
"""Of a plot, in units of its layout; the picture has twice as many px."""
DRAWN_PX, FINAL_PX, MARGIN, LETTERS = 4, 2, 24, 9
TEXT, DIM, GRID = (45, 45, 45), (120, 120, 120), (228, 228, 228)
TIMES = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))
"""From which span on times are told in which unit: seconds, seconds a unit, name."""


@dataclass(frozen=True, eq=False)
class Series:
    """A line over ``x`` (N,), in s, rising. NaN in ``y`` (N,) is a gap; a point between two gaps is a dot."""

    name: str
    x: Points
    y: Points


@dataclass(frozen=True)
class Panel:
    """Lines over a common time, below the ``name`` of what they show. ``low`` and ``high`` end the axis."""

    name: str
    low: float
    high: float
    series: Sequence[Series] = field(default_factory=tuple)


def line_plot(panels: Sequence[Panel], path: Path | None = None, *, title: str) -> Image:
    """Panels below each other, over one axis of time -> uint8 BGR picture, saved as PNG where there is a ``path``.

    Lines of one name have one color in all panels. OutputError where ``path`` cannot be written.
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
    """Horizontal bars (name, value, upper), a thin whisker to ``upper`` -> uint8 BGR picture, also saved at ``path``.

    A value that is not finite has no bar and reads n/a. OutputError where ``path`` cannot be written.
    """
    finite = [number for _, value, upper in rows for number in (value, upper) if number is not None]
    most = max([number for number in finite if math.isfinite(number)], default=0.0)
    most = most if most > 0 else 1.0
    names = [shorten(name, 0.4 * WIDTH) for name, _, _ in rows]
    values = [f"{_told(value, upper)} {unit}".strip() if math.isfinite(value) else "n/a" for _, value, upper in rows]
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
    """Write a PNG aside, then move it into place. OutputError where that fails."""
    write_whole(path, cv2.imencode(".png", image)[1].tobytes())


def ticks_of(low: float, high: float, most: int) -> list[float]:
    """Round numbers from ``low`` to ``high``: at most ``most`` multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def tick_names(ticks: Sequence[float]) -> list[str]:
    """All with the decimals that the finest needs; very large and very small ones with an exponent."""
    if ticks and not 1e-4 < max(map(abs, ticks)) < 1e6:
        return [f"{tick:g}" for tick in ticks]
    decimals = max([len(f"{tick:.6f}".rstrip("0").split(".")[1]) for tick in ticks], default=0)
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _told(value: float, upper: float | None) -> str:
    """Three digits, without an exponent up to a million."""
    text = f"{value:.3g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:.0f}"
    return text if upper is None or not math.isfinite(upper) else f"{text} to {_told(upper, None)}"


def shorten(text: str, room: float, size: float = 1, *, bold: bool = False) -> str:
    """What fits into ``room``, without what cannot be drawn: names of files may hold anything."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    cut = len(text)
    while cut and text_width(text, size, bold=bold) > room:
        cut -= 1
        text = text[:cut] + "..."
    return text


def text_width(text: str, size: float = 1, *, bold: bool = False) -> float:
    """In units of the layout."""
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
    """White paper that is drawn on in units of the layout, DRAWN_PX px each, and shrunk at the end."""

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
        """On the base line at ``start``, which is the text's left, middle (``align`` 0.5) or right (1)."""
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
    """So that capitals of size 1 are LETTERS units high."""
    return size * LETTERS * DRAWN_PX / cv2.getTextSize("H", _font(False), 1.0, 1)[0][1]


def _thick(size: float) -> int:
    return (
        max(1, round(size * LETTERS * DRAWN_PX / 12)) if cv2.__version__ < "5" else 1
    )  # cv2 4 draws letters as strokes
