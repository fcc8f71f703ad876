"""Turns the time stamps of a source into seconds since its first frame that always increase, whatever the stamps do."""

from __future__ import annotations

import math

MIN_STEP_SECONDS = 0.001
"""Minimum time from frame to frame."""
MAX_DRIFT_SECONDS = 1.0
"""How far the time of a live source may be from the wall clock."""
MAX_LEAP_SECONDS = 0.5
"""How far a single stamp of a live source may be ahead of its arrival."""
MAX_GAP_SECONDS = 3600.0
"""A longer step means that the file is damaged, not that the recording was paused."""


class FileClock:
    """Times of frames in a file. Its stamps are used while they increase, also at a variable rate.

    A stamp that is missing or does not increase counts as one frame of ``step`` s; later stamps return to the file's
    own time. After a stamp that jumps back by more than a second, or ahead by more than an hour, time continues from
    there.
    """

    def __init__(self, step: float):
        self._step = step
        self._offset: float | None = None
        self._last = -step
        self._stamp = 0.0

    def restart(self) -> None:
        """Let the next stamp start from a new origin, one frame after the last."""
        self._offset = None

    def leap(self, stamp: float) -> None:
        """Take the next stamp, which is ``stamp``, for what it says, however far ahead: frames before were left out."""
        if self._offset is not None:
            self._last = stamp + self._offset - self._step

    def __call__(self, stamp: float | None) -> float:
        """The time in s of the next frame, from its stamp in s. The first is 0."""
        last, time = self._last, self._last + self._step
        if stamp is not None and _usable(stamp):
            claimed = time if self._offset is None else stamp + self._offset
            if self._offset is None or not last - MAX_DRIFT_SECONDS <= claimed <= last + MAX_GAP_SECONDS:
                self._offset = time - stamp
            elif claimed > last:
                time = claimed
            elif stamp > self._stamp:
                time = last + MIN_STEP_SECONDS  # it increases, but is still behind the time after missing stamps
            self._stamp = stamp
        self._last = time
        return time


class LiveClock:
    """Times of frames from a camera or stream: its stamps, as long as they agree with the arrival of the frames.

    Stamps are better than arrival times, which network and driver delay unevenly. But if a stamp does not increase, or
    jumps, the arrival time is used, and if the stamps do not return, they get a new origin. So the time is never more
    than about a second (``MAX_DRIFT_SECONDS``) from the wall clock.
    """

    def __init__(self) -> None:
        self._start: float | None = None
        self._arrival = self._last = self._stamp = 0.0
        self._offset: float | None = None

    def restart(self) -> None:
        """Let stamps start from a new origin, for example after a reconnect; time continues by the arrival."""
        self._offset = None

    def __call__(self, stamp: float | None, arrival: float) -> float:
        """The time in s of a frame that arrived at ``arrival`` (``time.monotonic``), with this stamp in s, or None."""
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
            elif stamp > self._stamp or not near:  # a stamp that only stands still may catch up later
                self._offset = expected - stamp
        self._stamp = stamp
        return time


def _usable(stamp: float) -> bool:
    """Whether it is a real stamp. FFmpeg marks a missing one with a large number, for which float64 has no
    fractions."""
    return math.isfinite(stamp) and abs(stamp) < 1e10
