"""Grad-CAM maps as pictures: all classes of a network, or each compound beside its two basic expressions."""

from __future__ import annotations

import io
from typing import Any

import cv2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mien.types import EXPRESSIONS, Floats, Image
from mien_train.data.compounds import blend_of

COLUMNS = 5


def draw_all(face: Image, names: tuple[str, ...], probability: Floats, heat: NDArray[np.float32]) -> bytes:
    """A PNG: the face, then a map for each class, the basic ones first. Bright areas speak most for the class."""
    basic = len(EXPRESSIONS)
    groups = [range(basic), range(basic, len(names))]
    rows = [list(group)[k : k + COLUMNS] for group in groups for k in range(0, len(group), COLUMNS)]
    figure, axes = _panels(len(rows), COLUMNS + 1)
    for line, row in enumerate(rows):
        if row[0] in (0, basic):
            axes[line, 0].imshow(face)
            axes[line, 0].set_title("compound" if row[0] == basic else "basic", fontsize=9)
        for axis, place in zip(axes[line, 1:], row, strict=False):
            _draw_map(axis, face, heat[place], names[place], probability[place])
    return _png(figure)


def draw_grid(face: Image, names: tuple[str, ...], probability: Floats, heat: NDArray[np.float32]) -> bytes:
    """A PNG: a row for each compound, with its two basic expressions before it, and the face before the first."""
    compounds = range(len(EXPRESSIONS), len(names))
    figure, axes = _panels(len(compounds), 4)
    axes[0, 0].imshow(face)
    for row, place in zip(axes, compounds, strict=True):
        for axis, shown in zip(row[1:], (*blend_of(names[place]), place), strict=True):
            _draw_map(axis, face, heat[shown], names[shown], probability[shown])
    return _png(figure)


def _panels(rows: int, columns: int) -> tuple[Any, Any]:
    size = (2.1 * columns, 2.45 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def _draw_map(axis: Axes, face: Image, heat: Floats, name: str, probability: float) -> None:
    peak = float(heat.max())
    axis.imshow(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cmap="gray", vmin=0, vmax=255)
    axis.imshow(heat, cmap="inferno", alpha=0.55, vmin=0, vmax=max(peak, 1e-6))
    note = "" if peak > 0 else ", nothing speaks for it"
    axis.set_title(f"{name}\n{100 * probability:.1f} %{note}", fontsize=8)


def _png(figure: Any) -> bytes:
    memory = io.BytesIO()
    figure.savefig(memory, dpi=110, format="png")
    plt.close(figure)
    return memory.getvalue()
