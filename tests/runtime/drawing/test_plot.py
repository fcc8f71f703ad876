from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.drawing.faces import LINES, Color
from mien.drawing.plot import FINAL_PX, WIDTH, Panel, Series, bar_plot, line_plot, text_width, tick_names, ticks_of
from mien.errors import OutputError
from mien.types import Image


def places(image: Image, color: Color) -> np.ndarray:
    """(N, 2): row and column of the pixels of a color."""
    return np.argwhere(np.abs(image.astype(int) - color).max(axis=2) < 4)


def wide(image: Image) -> int:
    return int(np.diff(np.percentile(places(image, LINES[0])[:, 1], [0, 100]))[0])


def line(y: list[float], name: str = "#1") -> Series:
    return Series(name, np.arange(len(y), dtype=np.float64), np.array(y))


def test_bars_are_as_long_as_their_values_and_whiskers_reach_further() -> None:
    bars = bar_plot([("a", 10.0, None), ("b", 5.0, None)], title="t", unit="ms")
    assert bars.shape[1] == FINAL_PX * WIDTH
    rows = places(bars, LINES[0])
    lengths = [np.count_nonzero(rows[:, 0] == row) for row in np.unique(rows[:, 0])]
    assert max(lengths) == pytest.approx(2 * min(lengths), rel=0.02)
    whisker = bar_plot([("a", 5.0, 10.0), ("b", 5.0, None)], title="t", unit="ms")
    assert wide(whisker) < 0.6 * wide(bars)
    assert len(places(whisker, (45, 45, 45))) > len(places(bars, (45, 45, 45))) + 100


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("nothing", 0.0, 0.0)],
        [("unknown", math.nan, None), ("endless", math.inf, 3.0), ("fine", 1.0, math.inf)],
        [("below", -3.0, -1.0)],
        [("x" * 500, 1e-9, 1e9), ("\udce9\n\t", 1e300, None)],
    ],
)
def test_odd_bars_are_drawn_too(rows: list[tuple[str, float, float | None]]) -> None:
    image = bar_plot(rows, title="title " * 99, unit="frames/s")
    assert (image[:, -20:] == 255).all()  # nothing runs over the edge


def test_a_line_goes_where_its_values_are_and_stops_where_they_are_missing() -> None:
    y = [-1.0] * 5 + [math.nan] * 5 + [1.0] * 5
    image = line_plot([Panel("valence", -1, 1, [line(y)])], title="t")
    rows = places(image, LINES[0])
    legend = rows[:, 0] < 180
    rows = rows[~legend]
    left, right = rows[rows[:, 1] < 0.45 * image.shape[1]], rows[rows[:, 1] > 0.6 * image.shape[1]]
    assert len(left) + len(right) == len(rows)  # a gap between them
    assert left[:, 0].min() > right[:, 0].max() + 200  # low is below high


def test_a_single_sighting_is_a_dot() -> None:
    rows = places(line_plot([Panel("v", -1, 1, [line([math.nan, 0.5, math.nan, math.nan])])], title="t"), LINES[0])
    assert 20 < np.count_nonzero(rows[:, 0] > 180) < 200


def test_series_of_one_name_share_a_color() -> None:
    panels = [Panel("a", -1, 1, [line([0.5, 0.5], "#2")]), Panel("b", -1, 1, [line([0, 0], "#1"), line([1, 1], "#2")])]
    image = line_plot(panels, title="t")
    assert len(np.unique(places(image, LINES[0])[:, 0] // 200)) >= 2  # legend, both panels
    assert len(places(image, LINES[1])) > 500
    assert len(places(image, LINES[2])) == 0


@pytest.mark.parametrize("end", [0.0, 1e-6, 5.0, 90.0, 4000.0, 3e4, 3e6])
def test_any_span_of_time_is_drawn(end: float) -> None:
    series = Series("#1", np.array([0.0, end]), np.array([0.0, 7.0]))  # and values beyond the axis
    image = line_plot([Panel("v", -1, 1, [series])], title="t")
    assert (image[:, -14:] == 255).all()


def test_ticks_are_round_and_few() -> None:
    assert ticks_of(0, 95, 11) == list(range(0, 91, 10))
    assert ticks_of(-1, 1, 5) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert tick_names([0.0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    rng = np.random.default_rng(0)
    for low, size in zip(rng.normal(0, 100, 300), 10 ** rng.uniform(-6, 8, 300), strict=True):
        ticks = ticks_of(low, low + size, 9)
        assert 2 <= len(ticks) <= 9
        assert low - 1e-6 * size <= ticks[0]
        assert ticks[-1] <= low + size * (1 + 1e-6)


def test_a_plot_is_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    image = bar_plot([("a", 1.0, None)], tmp_path / "a.png", title="t", unit="")
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png")), image)
    with pytest.raises(OutputError, match="cannot write"):
        bar_plot([("a", 1.0, None)], tmp_path / "missing" / "a.png", title="t", unit="")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        line_plot([], tmp_path / "folder.png", title="t")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "folder.png"]


def test_wider_text_is_wider() -> None:
    assert text_width("valence and arousal") > 2 * text_width("valence") > 0
