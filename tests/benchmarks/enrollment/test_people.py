"""Figures over people and draws."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.enrollment.own_pictures import _draw
from benchmarks.enrollment.people import Shown, Tally
from mien.enrollment.classes import Examples


def test_a_tally_is_balanced_over_classes_and_its_interval_is_over_people() -> None:
    people = np.repeat(np.arange(40), 5)
    alike, split = Tally(people), Tally(people)
    for _ in range(3):
        alike.add([(people, np.tile([1.0, 1, 1, 1, 0], 40)), (people[:5], np.zeros(5))])
        split.add([(people, (people < 20).astype(float))])
    middle, low, high = split.figure() or []
    assert middle == 0.5
    assert 0.3 < low < 0.42 < 0.58 < high < 0.7, "faces of one person are no independent faces"
    assert (alike.figure() or [])[0] == pytest.approx(0.4)
    empty = Tally(people)
    empty.add([(people[:0], np.zeros(0))])
    assert empty.figure() is None


def test_what_is_enrolled_is_not_tested() -> None:
    """Nine shots of one person in three poses: five are learned, another shot of their poses and a whole pose asked."""
    nine = np.zeros(9)
    pose = np.repeat([0, 1, 2], 3)
    some = Shown(Examples(nine[:, None], nine[:, None]), nine, np.full(9, "fear"), nine, pose)
    for seed in range(20):
        enrolled, again, other = _draw(some, 0, "fear", 5, np.random.default_rng(seed)) or [()] * 3
        assert len(enrolled) == 5
        assert len(other) == 3
        assert not set(enrolled) & {*again, *other}
        assert set(pose[again]) <= set(pose[enrolled])
        assert not set(pose[other]) & set(pose[enrolled])
    assert _draw(some, 0, "fear", 7, np.random.default_rng(0)) is None
