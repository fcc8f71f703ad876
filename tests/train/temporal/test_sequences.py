"""Sequences out of stills: their ways, their labels, and the windows on them."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_sequences import tiny_scenes

from mien_train.temporal.sequences import gather, realize, weights


def test_a_way_through_stills_is_smooth_starts_anywhere_and_visits_them() -> None:
    times = np.arange(0, 8, 0.04)
    ways = [weights(times, np.random.default_rng(seed)) for seed in range(40)]
    for share in ways:
        assert share.sum(1) == pytest.approx(1, abs=1e-5)
        assert share.min() >= -1e-6
        assert np.abs(np.diff(share, axis=0)).max() < 0.75
    assert {int(share[0].argmax()) for share in ways} == {0, 1, 2}
    assert 0.25 < np.mean([(share.argmax(1) == 0).mean() for share in ways]) < 0.7


def test_the_label_changes_half_way_and_affect_is_mixed() -> None:
    scenes = tiny_scenes(1)
    made = realize(scenes, [0], np.random.default_rng(3))
    share = weights(scenes.times[0], np.random.default_rng(3))
    assert np.array_equal(made.label[0], scenes.labels[0][share.argmax(1)])
    assert made.truth[0] == pytest.approx(share @ scenes.truth[0], abs=1e-5)
    one = share.argmax(1)[share.max(1) > 0.999]
    pure = np.flatnonzero(share.max(1) > 0.999)
    assert made.embedding[0, pure] == pytest.approx(scenes.embedding[0, one, pure].astype(np.float32), abs=5e-3)
    assert made.expression.sum(-1) == pytest.approx(1, abs=1e-5)


def test_a_live_window_has_the_past_and_a_centered_one_both_sides() -> None:
    times = np.array([[0.0, 0.1, 0.3, 0.4, 0.5, np.inf]])
    index, ages = gather(times, np.array([[2]]), 4, centered=False)
    assert index[0, 0, :3].tolist() == [2, 1, 0]
    assert ages[0, 0] == pytest.approx([0, 0.2, 0.3, np.inf])
    index, ages = gather(times, np.array([[3]]), 4, centered=True)
    assert index[0, 0].tolist()[0] == 3
    assert sorted(ages[0, 0].tolist()) == pytest.approx([-0.1, 0, 0.1, np.inf])


def test_some_sequences_may_hold_one_still() -> None:
    made = realize(tiny_scenes(20), np.arange(20), np.random.default_rng(0), steady=0.5)
    held_ = (made.label == made.label[:, :1]).all(1)
    assert 4 <= held_.sum() <= 18
    scenes = tiny_scenes(1)
    one = realize(scenes, [0], np.random.default_rng(1), steady=1.0)
    k = list(scenes.labels[0]).index(one.label[0, 0])
    assert one.embedding[0] == pytest.approx(scenes.embedding[0, k].astype(np.float32), abs=1e-3)
