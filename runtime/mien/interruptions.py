"""What may come between while a source is read: signals, and warnings."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from tqdm import tqdm

from mien.faces import Frame
from mien.sources import Source
from mien.video import quiet_opencv


class Stop:
    """Set by the first Ctrl-C or SIGTERM, which lets the frame in work be finished; a second one ends at once."""

    signal = 0
    source: Source | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        if self.source:
            self.source.stop()

    def heeded_by(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """``frames``, no further than the one that comes when the signal does."""
        for frame in frames:
            yield frame
            if self.signal:
                return


class _Warnings(logging.Handler):
    """Warnings on stderr, above the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(f"fer-run: warning: {record.getMessage()}", file=sys.stderr)


@contextmanager
def messages() -> Iterator[None]:
    """mien's warnings in place of those of OpenCV, FFmpeg and the codecs, which name no remedy."""
    quiet_opencv()
    handler, logger = _Warnings(logging.WARNING), logging.getLogger("mien")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def stoppable() -> Iterator[Stop]:
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
