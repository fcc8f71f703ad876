"""Filters: what they do to steps, noise, odd frame rates and broken clocks."""

import numpy as np
import pytest

from mien.tracking.smoothing import Average, Clock, OneEuro, cutoff


def test_an_average_follows_a_step_to_63_percent_in_its_time() -> None:
    average = Average(0.5)
    average.update(0.0, 0.01)
    for _ in range(50):
        value = average.update(1.0, 0.01)
    assert float(value) == pytest.approx(1 - np.exp(-1), abs=1e-9)


@pytest.mark.parametrize("rates", [(10, 100), (7, 60)])
def test_the_frame_rate_does_not_change_an_average(rates: tuple[int, int]) -> None:
    ends = []
    for rate in rates:
        average = Average(0.3)
        average.update(0.0, 1 / rate)
        for _ in range(rate):  # one second
            value = average.update(1.0, 1 / rate)
        ends.append(float(value))
    assert ends[0] == pytest.approx(ends[1], abs=1e-9)


def test_an_average_of_probabilities_sums_to_one() -> None:
    random, average = np.random.default_rng(0), Average(0.25)
    for _ in range(200):
        value = average.update(random.dirichlet(np.ones(8)), random.uniform(0.001, 0.5))
        assert float(value.sum()) == pytest.approx(1)
        assert (value >= 0).all()


def noise_and_delay(beta: float) -> tuple[float, float]:
    """What is left of noise at rest, and how many frames a jump takes to be followed to 63 %."""
    random, filt = np.random.default_rng(1), OneEuro(cutoff(0.25), beta)
    rest = [float(filt.update(random.normal(0, 0.02), 0.04)) for _ in range(200)]
    values = [float(filt.update(1.0, 0.04)) for _ in range(50)]
    return float(np.std(rest[50:])), float(np.argmax(np.array(values) > 0.63))


def test_one_euro_is_calm_at_rest_and_quick_when_it_moves() -> None:
    slow, quick = noise_and_delay(0.0), noise_and_delay(1.0)
    assert slow[0] < 0.008
    assert quick[0] < 0.012, "it lets noise through"
    assert quick[1] < slow[1] / 2, "speed does not open the filter"


def test_one_euro_works_on_each_element_by_itself() -> None:
    filt = OneEuro(0.5, 1.0)
    for value in ([0.0, 0.0], [1.0, 0.0], [1.0, 0.0]):
        both = filt.update(value, 0.04)
    assert both[0] > 0
    assert both[1] == 0


def test_a_clock_rises_whatever_the_stamps_do() -> None:
    clock, last = Clock(), 0.0
    stamps = [5.0, 5.04, 5.08, 5.08, 5.08, 1.0, 1.04, -1e12, 1e12, 1e12 + 0.04]
    for stamp in stamps:
        step = clock.tick(stamp)
        assert step > 0
        assert clock.now > last
        last = clock.now


def test_a_stamp_that_stands_still_counts_as_a_usual_step() -> None:
    clock = Clock()
    for i in range(100):
        clock.tick(0.1 * i)
    assert clock.tick(9.9) == pytest.approx(0.1, abs=0.01)
    assert clock.tick(0.0) == pytest.approx(0.1, abs=0.01)
    assert clock.tick(0.1) == pytest.approx(0.1, abs=0.01)
