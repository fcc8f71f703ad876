"""Signals and warnings while a source is read."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, TypeVar

from mien.sources.base import POLL_SECONDS
from mien.sources.video import quiet_opencv
from mien.terminal import ABANDONED, tell
from mien.types import Frame

T = TypeVar("T")


class Stoppable(Protocol):
    """A source, or several of them."""

    def stop(self) -> None: ...


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM before anything is read."""


class Stop:
    """A handler for Ctrl-C and SIGTERM. The first signal lets the current frame be finished; a second one ends at once.

    Within ``at_once`` the first one ends at once too.
    """

    signal = 0
    source: Stoppable | None = None
    _now = False

    def __call__(self, number: int, _: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        if self._now:
            raise Stopped
        if self.source:
            self.source.stop()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the context, raise Stopped when a signal comes or has come. For times when no results can be lost,
        such as when sources are opened and engines measured."""
        self._now = True
        try:
            if self.signal:
                raise Stopped
            yield
            if self.signal:  # a library may have swallowed the exception
                raise Stopped
        finally:
            self._now = False

    def heeded_by(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """``frames``, up to the one that is current when a signal comes."""
        for frame in frames:
            yield frame
            if self.signal:
                return


def aside(work: Callable[[], T], undo: Callable[[T], object]) -> T:
    """What ``work`` returns or raises. It runs on a thread, so that signals are handled even while it hangs in a
    driver; if it returns after that, its result is passed to ``undo``."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    thread = threading.Thread(target=run, name="mien opening", daemon=True)
    try:
        thread.start()  # it waits for the thread to start, so a signal may arrive here too
        # Python handles a signal only when its main thread runs, but the system may deliver it to another thread, or
        # just before this one waits; and code that the interpreter runs in between, such as a destructor, swallows what
        # the handler raises. So this does not wait without end, and asks the handler.
        while not done.done():
            wait([done], POLL_SECONDS)
            handler = signal.getsignal(signal.SIGINT)
            if isinstance(handler, Stop) and handler.signal:
                raise Stopped
        return done.result()
    except Stopped:
        ABANDONED.append(thread)
        done.add_done_callback(lambda late: late.exception() or undo(late.result()))
        raise


class _Warnings(logging.Handler):
    """Prints warnings of a program on stderr, above the progress bar."""

    def __init__(self, program: str):
        super().__init__(logging.WARNING)
        self._program = program

    def emit(self, record: logging.LogRecord) -> None:
        tell(f"{self._program}: warning: {record.getMessage()}")


@contextmanager
def messages(program: str = "fer-run") -> Iterator[None]:
    """Within the context, print mien's warnings instead of those of OpenCV, FFmpeg and the codecs, which name no
    remedy."""
    quiet_opencv()
    handler, logger = _Warnings(program), logging.getLogger("mien")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Within the context, a ``Stop`` handles Ctrl-C and SIGTERM."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
