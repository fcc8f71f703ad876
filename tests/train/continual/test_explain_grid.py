"""fer-train explain --grid: each compound beside its two basic expressions, and how alike two maps are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import InputError
from mien.sources.demo import demo_picture
from mien.types import EXPRESSIONS
from mien_train.cli import parse_args, run
from mien_train.continual.explain import likeness
from mien_train.continual.explain_plot import draw_grid


def test_a_row_for_each_compound() -> None:
    names = (*EXPRESSIONS, "fearfully surprised", "sadly angry", "awed")
    random = np.random.default_rng(0)
    heat = random.random((len(names), 16, 16)).astype(np.float32)
    face = random.integers(0, 256, (16, 16, 3), np.uint8)
    probability = np.full(len(names), 1 / len(names), np.float32)
    made = [draw_grid(face, names[:end], probability[:end], heat[:end]) for end in (9, 11)]
    sizes = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2] for data in made]
    assert sizes[1][1] == sizes[0][1]
    assert sizes[1][0] == pytest.approx(3 * sizes[0][0], abs=3)


def test_a_model_without_compounds_has_no_grid(tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    with pytest.raises(InputError, match="has learned no compounds to draw"):
        run(parse_args(["explain", "default", str(demo_picture()), "--grid", "-o", str(out)]))
    assert not out.exists()


def test_likeness_of_maps() -> None:
    first, second = np.zeros((2, 8, 8), np.float32)
    first[:4, :4], second[4:, 4:] = 1, 1
    assert likeness(first, first) == pytest.approx(1)
    assert likeness(first, second) < 0
    assert np.isnan(likeness(first, np.zeros_like(first)))
