"""The thread that reads a live source, and the inbox with its newest frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import NamedTuple, TypeAlias

from mien.sources.timestamps import LiveClock
from mien.types import Image


class Ended(Exception):
    """Raised by ``Shots`` if the source has ended and would only start again from its beginning."""


class Shot(NamedTuple):
    """A frame as it arrives: its time stamp in s, or None; the frame rate that the source claims; its decoder."""

    image: Image
    stamp: float | None
    fps: float | None
    decoder: str | None = None


Shots: TypeAlias = "Generator[Shot | None, None, None]"
"""One connection, from opening to release. None is a heartbeat without a frame."""


class Inbox:
    """The newest frame, with its time in s, between the thread that reads and the one that iterates."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._clock = LiveClock()
        self._newest: tuple[Shot, float] | None = None
        self.dropped = 0
        self.closed = False

    def put(self, reader: Reader, shot: Shot | None) -> bool:
        """Returns False if the reader is no longer wanted."""
        with self._changed:
            if self.closed or reader.cut_off:
                return False
            reader.beat = now = time.monotonic()
            if shot:
                if not reader.begun:
                    self._clock.restart()
                    reader.begun = True
                self.dropped += self._newest is not None
                self._newest = shot, self._clock(shot.stamp, now)
                self._changed.notify_all()
            return True

    def take(self, timeout: float) -> tuple[Shot, float] | None:
        with self._changed:
            if self._newest is None and not self.closed:
                self._changed.wait(timeout)
            taken, self._newest = self._newest, None
            return taken

    def look(self, hopeless: Callable[[], bool], timeout: float) -> Shot | None:
        """Wait for a frame without taking it, until ``hopeless``."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or hopeless(), timeout)
            return self._newest[0] if self._newest else None

    def cut_off(self, reader: Reader) -> None:
        with self._changed:
            reader.cut_off = True

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class Reader(threading.Thread):
    """Reads one connection to its end, into the inbox. It is a daemon thread, because a driver may never return."""

    def __init__(self, shots: Callable[[], Shots], inbox: Inbox):
        super().__init__(name="mien live", daemon=True)
        self._shots, self._inbox = shots, inbox
        self.error: Exception | None = None
        self.begun = self.done = self.cut_off = False
        self.beat = time.monotonic()
        self.start()

    def run(self) -> None:
        shots = self._shots()
        try:
            for shot in shots:
                if not self._inbox.put(self, shot):
                    break
        except Exception as error:  # of a driver or codec: the iteration reports it and tries again
            self.error = error
        finally:
            shots.close()
            self.done = True
            self._inbox.wake()
