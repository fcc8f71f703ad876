from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from mien.sources.timestamps import MAX_DRIFT_SECONDS, MAX_LEAP_SECONDS, MIN_STEP_SECONDS, FileClock, LiveClock

Stamps = Sequence[float | None]
WILD = (None, math.nan, math.inf, -math.inf, -1.0, 0.0, -9.2e15, 1.8e9, 1e308, -1e308)


def of_file(stamps: Stamps, step: float = 0.04) -> list[float]:
    clock = FileClock(step)
    return [round(clock(stamp), 6) for stamp in stamps]


def of_camera(stamps: Stamps, arrivals: Sequence[float]) -> list[float]:
    clock = LiveClock()
    return [clock(stamp, 500 + arrival) for stamp, arrival in zip(stamps, arrivals, strict=True)]


def evenly(count: int, rate: float = 25.0) -> list[float]:
    return [i / rate for i in range(count)]


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        ([0.0, 0.04, 0.08], [0.0, 0.04, 0.08]),
        ([7.0, 7.04, 7.08], [0.0, 0.04, 0.08]),  # since the first frame
        ([-0.04, 0.0, 0.04], [0.0, 0.04, 0.08]),
        ([0.0, 0.01, 0.5, 60.5, 60.51], [0.0, 0.01, 0.5, 60.5, 60.51]),  # a variable rate, with a pause
        ([0.0, 0.0, 0.0, 0.0], [0.0, 0.04, 0.08, 0.12]),
        ([None, math.nan, math.inf, -math.inf], [0.0, 0.04, 0.08, 0.12]),
        ([0.0, 0.04, 0.04, 0.08, 0.12], [0.0, 0.04, 0.08, 0.081, 0.12]),  # comes back to the file's time
        ([0.0, 0.08, 0.04, 0.12, 0.16, 0.2], [0.0, 0.08, 0.12, 0.121, 0.16, 0.2]),  # in the order of decoding
        ([0.0, 0.04, None, 0.12], [0.0, 0.04, 0.08, 0.12]),
        ([90.0, 90.04, 0.0, 0.1, 0.2], [0.0, 0.04, 0.08, 0.18, 0.28]),  # a counter that went over its end
        ([0.0, 1e9, 1e9 + 0.5, 0.12, 0.2], [0.0, 0.04, 0.54, 0.58, 0.66]),
        ([0.0, 1e300, 0.08], [0.0, 0.04, 0.08]),
    ],
)
def test_times_of_a_file(stamps: Stamps, times: list[float]) -> None:
    assert of_file(stamps) == pytest.approx(times, abs=2e-4)


def test_a_file_that_starts_over_goes_on_one_frame_later() -> None:
    clock = FileClock(0.04)
    times = []
    for _ in range(3):
        clock.restart()
        times += [clock(stamp) for stamp in (0.0, 0.1, 0.3)]
    assert times == pytest.approx([0.0, 0.1, 0.3, 0.34, 0.44, 0.64, 0.68, 0.78, 0.98])


def test_good_stamps_of_a_camera_win_over_uneven_arrivals() -> None:
    stamps = evenly(200)
    jitter = np.random.default_rng(0).uniform(0, 0.3, 200)
    arrivals = np.maximum.accumulate(stamps + jitter)
    times = of_camera([3600 + stamp for stamp in stamps], list(arrivals))
    assert np.allclose(np.diff(times), 0.04, atol=1e-6)


def test_a_stalled_network_does_not_bend_the_times() -> None:
    stamps = evenly(100)
    arrivals = [stamp if stamp < 1 else max(stamp, 1.8) for stamp in stamps]  # 0.8 s held up, then all at once
    assert np.allclose(of_camera(stamps, arrivals), stamps, atol=1e-6)


@pytest.mark.parametrize("stamp", WILD)
def test_without_stamps_of_any_use_a_camera_goes_by_the_arrival(stamp: float | None) -> None:
    arrivals = [i / 25 + 0.013 * (i % 3) for i in range(100)]
    assert np.allclose(of_camera([stamp] * 100, arrivals), arrivals, atol=1e-6)


@pytest.mark.parametrize("jump", [-3600.0, -3.0, -0.3, 0.7, 3.0, 3600.0, 1e9])
def test_a_jump_is_no_jump_of_time(jump: float) -> None:
    arrivals = evenly(200)
    times = of_camera([t + 10 + (jump if t >= 4 else 0) for t in arrivals], arrivals)
    assert np.allclose(times, arrivals, atol=1e-6)


@pytest.mark.parametrize("bad", WILD)
def test_one_bad_stamp_leaves_no_trace(bad: float | None) -> None:
    arrivals = evenly(100)
    stamps: list[float | None] = [t + 10 for t in arrivals]
    stamps[50] = bad
    times = of_camera(stamps, arrivals)
    assert np.allclose(times, arrivals, atol=1e-6)


def test_stamps_that_stand_still_and_catch_up() -> None:
    arrivals = evenly(100)
    times = of_camera([t if not 1 <= t < 1.5 else 1.0 for t in arrivals], arrivals)
    assert np.allclose(times, arrivals, atol=1e-6)


@pytest.mark.parametrize("pace", [0.4, 0.9, 1.1, 3.0])
def test_stamps_at_the_wrong_pace_are_held(pace: float) -> None:
    arrivals = evenly(3000)
    times = of_camera([t * pace for t in arrivals], arrivals)
    assert np.abs(np.subtract(times, arrivals)).max() < MAX_DRIFT_SECONDS + 0.01
    assert np.diff(times).max() < 0.04 + MAX_LEAP_SECONDS
    assert np.allclose(np.diff(times[2000:]), 0.04, atol=0.001)  # in the end the arrival alone counts


def test_after_a_reconnect_time_goes_on_by_the_arrival() -> None:
    clock = LiveClock()
    first = [clock(stamp, 100 + stamp) for stamp in evenly(50)]
    clock.restart()
    second = [clock(stamp, 130 + stamp) for stamp in evenly(50)]
    assert second[0] - first[0] == pytest.approx(30)
    assert np.allclose(np.diff(second), 0.04)


def wild(rng: random.Random) -> Callable[[float], float | None]:
    """A camera: the time on the wall -> its stamp, which does all that stamps are known to do."""
    offset, pace, still = rng.uniform(-10, 1e4), rng.choice([1.0, 1.0, 1.0, 0.3, 1.02, 5.0]), None

    def stamp(now: float) -> float | None:
        nonlocal offset, pace, still
        chance = rng.random()
        if chance < 0.02:
            offset += rng.choice([-1e6, -5.0, -0.5, -0.04, 0.04, 0.4, 0.9, 2.0, 1e6])
        elif chance < 0.03:
            still = None if still is not None else now * pace + offset
        elif chance < 0.04:
            pace = rng.choice([0.0, 0.1, 1.0, 1.0, 10.0, -1.0])
        elif chance < 0.07:
            return rng.choice(WILD)
        return still if still is not None else now * pace + offset + rng.choice([0.0, 0.0, rng.gauss(0, 0.05)])

    return stamp


def test_whatever_stamps_do_time_rises_and_stays_near_the_clock_on_the_wall() -> None:
    for seed in range(2000):
        rng = random.Random(seed)
        clock, stamp, start = LiveClock(), wild(rng), rng.uniform(0, 1e6)
        now, last, file_clock, file_last = start, -1.0, FileClock(0.04), -1.0
        rate = rng.choice([0.002, 0.04, 0.5, 3.0])
        for _ in range(rng.randrange(2, 200)):
            given = stamp(now - start)
            time = clock(given, now)
            assert time >= last + MIN_STEP_SECONDS - 1e-9, seed
            assert abs(time - (now - start)) <= MAX_DRIFT_SECONDS + 0.01, seed
            last = time
            file_time = file_clock(given)
            assert file_last < file_time < math.inf, seed
            file_last = file_time
            if rng.random() < 0.02:
                clock.restart()
            now += rng.expovariate(1 / rate) + MIN_STEP_SECONDS


def test_frames_that_arrive_at_once_still_have_different_times() -> None:
    times = of_camera([None] * 100, [0.0] * 100)
    assert all(b - a >= MIN_STEP_SECONDS - 1e-9 for a, b in pairwise(times))
