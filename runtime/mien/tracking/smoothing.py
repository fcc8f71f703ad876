"""Causal filters for the values of one track. Time constants are in seconds, because frame rates vary."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


class Average:
    """Exponential moving average of arrays of one shape, with a time constant in seconds.

    After ``seconds`` the average has followed a step of the input by 63 %. A weighted mean of probabilities is again a
    probability, so rows that sum to 1 still do.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.value: Values | None = None

    def update(self, value: ArrayLike, step: float) -> Values:
        """``step``: seconds since the last value, above 0. Returns the average with ``value`` in it."""
        new = np.asarray(value, dtype=np.float64)
        if self.value is None or self.seconds <= 0:
            self.value = new
        else:
            self.value = self.value + _share(step, self.seconds) * (new - self.value)
        return self.value


class OneEuro:
    """The One-Euro filter of Casiez, Roussel & Vogel (CHI 2012): steady while the value rests, fast when it moves.

    It is a low-pass filter whose cutoff grows with speed: ``cutoff + beta * |speed|`` in Hz, where the speed, in units
    per second, is itself smoothed at 1 Hz. The elements of an array are filtered independently.
    """

    def __init__(self, cutoff: float, beta: float):
        self.cutoff = cutoff
        self.beta = beta
        self.value: Values | None = None
        self._speed = Average(float(_seconds(1.0)))

    def update(self, value: ArrayLike, step: float) -> Values:
        """``step``: seconds since the last value, above 0."""
        new = np.asarray(value, dtype=np.float64)
        if self.value is None:
            self._speed.update(np.zeros_like(new), step)
            self.value = new
            return new
        speed = self._speed.update((new - self.value) / step, step)
        seconds = _seconds(self.cutoff + self.beta * np.abs(speed))
        self.value = self.value + _share(step, seconds) * (new - self.value)
        return self.value


class Clock:
    """Turns time stamps of any kind into increasing seconds, for filters that divide by their difference.

    A step that is not positive (the source stands still or runs backwards) counts as a usual step. A step longer than
    an hour counts as an hour: next to a time of 1e18 s, later steps would be lost to rounding.
    """

    USUAL_STEP_SECONDS, MAX_STEP_SECONDS = 1 / 25, 3600.0

    def __init__(self) -> None:
        self.now = 0.0
        self._last: float | None = None
        self._usual = Average(0.5)

    def tick(self, time: float) -> float:
        """Seconds since the last call, above 0. ``time``: finite, in seconds."""
        step = self.USUAL_STEP_SECONDS if self._last is None else min(time - self._last, self.MAX_STEP_SECONDS)
        if not step > 1e-6:
            step = self.USUAL_STEP_SECONDS if self._usual.value is None else float(self._usual.value)
        elif self._last is not None:
            self._usual.update(min(step, 1.0), step)
        self._last = time
        self.now += step
        return step


def cutoff(seconds: float) -> float:
    """Cutoff in Hz of the first-order low-pass with this time constant."""
    return 1 / (2 * np.pi * max(seconds, 1e-9))


def _share(step: float, seconds: ArrayLike) -> Values:
    """The weight of a new value in a low-pass with this time constant."""
    return np.asarray(1 - np.exp(-step / np.maximum(seconds, 1e-9)))


def _seconds(cutoff: ArrayLike) -> Values:
    """Time constant of a first-order low-pass with this cutoff in Hz."""
    return np.asarray(1 / (2 * np.pi * np.maximum(cutoff, 1e-9)))
