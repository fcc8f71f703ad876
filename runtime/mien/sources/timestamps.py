"""Stamps of a source -> seconds since its first frame, that always rise, whatever the stamps do."""

from __future__ import annotations

import math

MIN_STEP_SECONDS = 0.001
"""The least that time goes on from frame to frame, in s."""
MAX_DRIFT_SECONDS = 1.0
"""How far, in s, a live source's time may be from the clock on the wall."""
MAX_LEAP_SECONDS = 0.5
"""By how much, in s, one stamp of a live source may run ahead of its arrival."""
MAX_GAP_SECONDS = 3600.0
"""A longer step than this, in s, is damage and no pause of a recording."""


class FileClock:
    """Times of a file. Its stamps are kept, also at a variable rate, where they rise.

    A stamp that stands still or is missing counts as one frame, of ``step`` s; later ones come back to the file's own
    time. From one that goes back by more than a second, or ahead by more than an hour, time goes on afresh.
    """

    def __init__(self, step: float):
        self._step = step
        self._offset: float | None = None
        self._last = -step
        self._stamp = 0.0

    def restart(self) -> None:
        """The next stamp starts anew, one frame after the last."""
        self._offset = None

    def __call__(self, stamp: float | None) -> float:
        """The time, in s, of the next frame, whose stamp in s is given. The first is 0."""
        last, time = self._last, self._last + self._step
        if stamp is not None and _usable(stamp):
            claimed = time if self._offset is None else stamp + self._offset
            if self._offset is None or not last - MAX_DRIFT_SECONDS <= claimed <= last + MAX_GAP_SECONDS:
                self._offset = time - stamp
            elif claimed > last:
                time = claimed
            elif stamp > self._stamp:
                time = last + MIN_STEP_SECONDS  # it rises, but is still behind the time that missing stamps were given
            self._stamp = stamp
        self._last = time
        return time


class LiveClock:
    """Times of a camera or stream: its stamps, as long as they agree with when the frames arrive.

    Stamps are better than arrivals, which network and driver delay unevenly. But one that stands still, goes back or
    jumps gives way to the arrival, and where it does not come back, time is anchored to the stamps anew. So time is
    never more than about a second (``MAX_DRIFT_SECONDS``) from the clock on the wall.
    """

    def __init__(self) -> None:
        self._start: float | None = None
        self._arrival = self._last = self._stamp = 0.0
        self._offset: float | None = None

    def restart(self) -> None:
        """Stamps start anew, as after a reconnect; time goes on by the arrival."""
        self._offset = None

    def __call__(self, stamp: float | None, arrival: float) -> float:
        """The time, in s, of a frame with this stamp, in s or None, that came at ``arrival`` (``time.monotonic``)."""
        if self._start is None:
            self._start, time = arrival, 0.0
        else:
            time = self._last + max(arrival - self._arrival, MIN_STEP_SECONDS)
        if stamp is not None and _usable(stamp):
            time = self._agree(stamp, time, arrival - self._start)
        self._arrival, self._last = arrival, time
        return time

    def _agree(self, stamp: float, expected: float, elapsed: float) -> float:
        time = expected
        if self._offset is None:
            self._offset = expected - stamp
        else:
            claimed = stamp + self._offset
            near = abs(claimed - elapsed) <= MAX_DRIFT_SECONDS
            if near and self._last + MIN_STEP_SECONDS <= claimed <= expected + MAX_LEAP_SECONDS:
                time = claimed
            elif stamp > self._stamp or not near:  # one that merely stands still may yet catch up
                self._offset = expected - stamp
        self._stamp = stamp
        return time


def _usable(stamp: float) -> bool:
    """FFmpeg's mark for a missing stamp is a large number, in which float64 would lose the fractions of a second."""
    return math.isfinite(stamp) and abs(stamp) < 1e10
