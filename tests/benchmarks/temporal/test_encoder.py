"""What the benchmark of the temporal encoder says of clips without labels."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.temporal import encoder
from mien_train.temporal.filters import raw
from mien_train.temporal.sequences import Sequences


def sequence(labels: list[int], seed: int = 0, noise: float = 0.0) -> Sequences:
    count = len(labels)
    rng = np.random.default_rng(seed)
    sure = np.full((1, count, 8), 0.02, np.float32)
    sure[0, np.arange(count), labels] = 0.86
    embedding = 1 + noise * rng.normal(size=(1, count, 64))
    affect = np.zeros((1, count, 2), np.float32)
    return Sequences(
        np.arange(count)[None] / 25, embedding.astype(np.float32), sure, affect, np.array([labels]), affect
    )


def test_flips_are_counted_by_the_second() -> None:
    part = sequence(([0] * 25 + [1] * 25) * 2)
    assert encoder.flips(part.label, part) == pytest.approx(3 / (99 / 25), abs=1e-3)


def test_a_still_face_does_not_tremble_and_noise_does() -> None:
    assert encoder.tremble(sequence([0] * 50)) == 0
    assert encoder.tremble(sequence([0] * 200, noise=0.1)) == pytest.approx(0.1, rel=0.1)


def test_a_curve_that_is_late_is_found_to_be() -> None:
    times = np.arange(300) / 25
    curve = np.sin(times * 2) + 0.3 * np.sin(times * 5)
    assert encoder.lag(curve, curve, times) == 0
    assert encoder.lag(np.roll(curve, 6), curve, times) == pytest.approx(6 / 25, abs=1e-3)
    assert encoder.lag(curve[:50], curve[:50], times[:50]) is None


def test_recalls_are_of_each_class() -> None:
    part = sequence([0] * 10 + [1] * 10)
    reading = raw(part)._replace(label=np.zeros((1, 20), np.int64))
    made = encoder.recall(reading, part)
    assert (made["neutral"], made["happiness"]) == (1.0, 0.0)
