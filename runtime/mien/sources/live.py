"""Live sources: always the newest frame of a camera or stream, which is watched and reopened when it is lost."""

from __future__ import annotations

import logging
import random
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import InputError, MienError, SourceError
from mien.paths import readable
from mien.sources.base import POLL_SECONDS, Threaded
from mien.sources.live_reader import Ended, Inbox, Reader, Shot, Shots
from mien.sources.video import JOIN_SECONDS
from mien.types import Frame, Image

MAX_ABANDONED = 2
"""Threads that may hang in a driver. While there are so many, nothing is opened."""
STEADY_SECONDS = 600.0
"""A connection that lasted longer than this was a good one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """Time limits of a live source, in seconds.

    ``opening``: how long opening may take. ``stuck``: how long to wait for a frame. ``retry`` and ``longest``: first
    and longest pause before another attempt. ``hold``: how long a new connection must last before it counts as back; it
    grows for a source that is lost often.
    """

    opening: float = 15.0
    stuck: float = 5.0
    retry: float = 0.5
    longest: float = 30.0
    hold: float = 1.0


class Live(Threaded):
    """The newest frame of a source that a thread reads; frames that were not taken in time are counted in ``dropped``.

    Each call of ``shots`` opens the source again. If the first one fails, SourceError is raised; later it is tried
    again until ``stop`` or ``close``, with one warning when the source is lost and one when it is back. A read that
    hangs cannot be ended: its thread is abandoned, and frames that it may still deliver are ignored.
    """

    kind = "live"

    def __init__(
        self, name: str, shots: Callable[[], Shots], *, patience: Patience | None = None, paths: Sequence[Path] = ()
    ):
        super().__init__()
        self.name = readable(name)
        self.paths = paths
        self._shots = shots
        self._patience = patience or Patience()
        self._inbox = Inbox()
        self._finalizer = weakref.finalize(self, self._inbox.close)
        self._iterated = False
        self._reader: Reader | None = Reader(shots, self._inbox)
        self._abandoned: list[Reader] = []
        self._pause, self._hold = self._patience.retry, self._patience.hold
        self._reported = self._over = False
        self._lost_at = self._retry_at = 0.0
        self._attempts = self._frames = 0
        try:
            shot = self._first(self._reader)
        except BaseException:
            self.close()
            raise
        self._since = self._looked = time.monotonic()
        self.fps, self.size, self.decoder = shot.fps, _size(shot.image), shot.decoder

    def __iter__(self) -> Iterator[Frame]:
        self._check_process()
        if self._iterated:
            raise InputError(f"{self.name} was iterated over already; open it again")
        self._iterated = True
        start: float | None = None
        self._inbox.dropped = 0  # frames that came while the model was loaded do not count
        try:
            while not self._stopped:
                self._check_process()
                taken = self._inbox.take(POLL_SECONDS)
                self._frames += taken is not None
                self._watch(time.monotonic())
                self.dropped = self._inbox.dropped
                if taken is None and self._over:
                    break
                if taken is None or self._stopped:
                    continue
                shot, at = taken
                start = at if start is None else start
                self.size, self.decoder = _size(shot.image), shot.decoder
                yield Frame(shot.image, at - start, self._frames - 1, self.name)
        finally:
            self.state = "ended"
            if not self._forked:
                self._inbox.close()

    def _leave(self) -> None:
        super()._leave()
        self._finalizer.detach()

    def _release(self) -> None:
        self._inbox.close()
        until = time.monotonic() + JOIN_SECONDS
        for reader in [*self._abandoned, *([self._reader] if self._reader else [])]:
            reader.join(max(0.0, until - time.monotonic()))

    def _first(self, reader: Reader) -> Shot:
        shot = self._inbox.look(lambda: reader.done, self._patience.opening)
        if shot:
            return shot
        if not reader.done:
            wait = f"{self._patience.opening:g}"
            raise SourceError(f"{self.name} gave no frame within {wait} s; check it, and that no other program uses it")
        if isinstance(reader.error, Ended):
            raise SourceError(
                f"{self.name} ends before its first frame; it may be a file whose index is at its end: download it, "
                "and open the file"
            )
        if reader.error and not isinstance(reader.error, MienError):
            why = str(reader.error) or type(reader.error).__name__
            raise SourceError(f"{self.name} cannot be read: {why}") from reader.error
        raise reader.error or SourceError(
            f"{self.name} opens but gives no frame; check it, and that no other program uses it"
        )

    def _watch(self, now: float) -> None:
        """The watchdog. It runs as part of the iteration, so that only reading needs a thread."""
        reader, patience = self._reader, self._patience
        paused, self._looked = now - self._looked > patience.stuck, now
        if reader is None:
            self._abandoned = [reader for reader in self._abandoned if reader.is_alive()]
            if now >= self._retry_at and len(self._abandoned) < MAX_ABANDONED:
                self._attempts += 1
                self._reader = Reader(self._shots, self._inbox)
            return
        if paused:  # the whole process was suspended, which is not the camera's fault
            reader.beat = now
        if reader.done and isinstance(reader.error, Ended):
            self._over = True
        elif reader.done:
            self._lose(now, str(reader.error or "it stopped sending"))
        elif now - reader.beat > (limit := patience.stuck if reader.begun else patience.opening):
            self._inbox.cut_off(reader)
            self._abandoned.append(reader)
            self._lose(now, f"it sent nothing for {limit:g} s")
        elif reader.begun and self.state == "lost":
            self.state, self._since = "open", now
        elif self._reported and self.state == "open" and now - self._since >= self._hold:
            self._reported, self._pause = False, patience.retry
            away = self._since - self._lost_at
            log.warning("%s is back after %.1f s (attempts: %d)", self.name, away, self._attempts)

    def _lose(self, now: float, why: str) -> None:
        if self.state == "open":
            steady = now - self._since > STEADY_SECONDS
            self._hold = self._patience.hold if steady else min(2 * self._hold, STEADY_SECONDS)
        self.state = "lost"
        if not self._reported:
            self._reported, self._lost_at, self._attempts = True, self._reader.beat if self._reader else now, 0
            log.warning("%s was lost after %d frames: %s; trying to reconnect", self.name, self._frames, why)
        self._reader = None
        self._retry_at = now + self._pause * random.uniform(0.8, 1.2)
        self._pause = min(2 * self._pause, self._patience.longest)


def _size(image: Image) -> tuple[int, int]:
    return image.shape[1], image.shape[0]
