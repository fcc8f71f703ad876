"""Filters that the temporal encoder is compared with, and the figures of the comparison."""

from __future__ import annotations

import numpy as np
import pytest

from mien.tracking.smoothing import Average
from mien_train.temporal.evaluate import figures, gains, mean_delay
from mien_train.temporal.filters import Reading, averaged, held, raw, slid, streamed
from mien_train.temporal.sequences import Sequences


def stepped(labels: list[int], rate: float = 25.0) -> Sequences:
    count = len(labels)
    sure = np.full((1, count, 8), 0.02, np.float32)
    sure[0, np.arange(count), labels] = 0.86
    affect = np.zeros((1, count, 2), np.float32)
    return Sequences(
        np.arange(count)[None] / rate, np.zeros((1, count, 6), np.float32), sure, affect, np.array([labels]), affect
    )


def test_filters_are_those_of_the_runtime() -> None:
    made = stepped([0] * 20 + [1] * 20)
    average, expected = Average(0.2), []
    for value in made.expression[0]:
        expected.append(average.update(value, 1 / 25))
    assert averaged(made, 0.2).expression[0] == pytest.approx(np.array(expected), abs=1e-5)
    late = streamed(made, 0.2).label[0]
    assert np.flatnonzero(late == 1)[0] > np.flatnonzero(averaged(made, 0.2).label[0] == 1)[0]
    assert (raw(made).label == made.label).all()


def test_a_label_is_held_until_it_is_beaten() -> None:
    level = np.full((1, 4, 8), 0.1, np.float32)
    level[0, :, 0] = [0.40, 0.38, 0.40, 0.20]
    level[0, :, 1] = [0.38, 0.40, 0.38, 0.50]
    assert held(level)[0].tolist() == [0, 0, 0, 1]


def test_a_sliding_window_outvotes_a_moment_and_keeps_changes_in_place() -> None:
    made = stepped([0] * 30 + [1] + [0] * 20 + [2] * 40)
    label = slid(raw(made), made.times, 0.4).label[0]
    assert set(label[:50]) == {0}
    assert abs(int(np.flatnonzero(label == 2)[0]) - 51) <= 1


def test_delays_are_told_in_seconds_for_changes_that_all_find() -> None:
    made = stepped([0] * 20 + [1] * 20 + [2] * 20)
    label = made.label.copy()
    label[0, 20:25] = 0
    late = Reading(made.expression, made.affect, label)
    assert mean_delay(made, {"raw": raw(made), "late": late}) == pytest.approx({"raw": 0.0, "late": 0.1})
    label[0, 20:40] = 0  # the first change is found by one only: the second counts
    assert mean_delay(made, {"raw": raw(made), "late": late})["late"] == 0.0


def test_figures_know_flips_and_what_is_right() -> None:
    made = stepped([0] * 20 + [1] * 20)
    perfect = figures(raw(made), made)
    assert perfect["accuracy"][0] == perfect["macro_f1"][0] == 1
    assert perfect["flips"][0] == pytest.approx(1 / (39 / 25), abs=1e-3)
    wrong = Reading(made.expression, made.affect, np.zeros_like(made.label))
    assert figures(wrong, made)["accuracy"][0] == 0.5
    assert gains(raw(made), wrong, made)["accuracy"] == [0.5, 0.5, 0.5]
