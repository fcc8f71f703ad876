"""Several cameras and videos at the same time: each on a thread of its own, with a stream of its own, and one model."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from mien.errors import InputError, MienError, SourceError
from mien.recognizer import Recognizer
from mien.sources.base import POLL_SECONDS, Source
from mien.sources.factory import open_source
from mien.sources.several import by_name, check_name, close_all, default_name, open_all
from mien.tracking.options import StreamOptions
from mien.tracking.stream import Stream, engine_failed
from mien.types import Face, Frame

log = logging.getLogger(__name__)


class StreamFrame(NamedTuple):
    """One frame of one of several sources.

    Attributes:
        source: Name of the source.
        frame: The frame; its ``name`` is that of the source.
        faces: The faces in sight, as ``Stream.update`` returns them.
        hidden: Faces that are expected but not seen, as in ``Stream.hidden``.
        seconds: How long the frame took, with the time for which it waited for the engine.
    """

    source: str
    frame: Frame
    faces: list[Face]
    hidden: list[Face]
    seconds: float


class Streams:
    """Several sources that are read at the same time. Iterate over it once; ``run_streams`` makes it.

    Each source has a thread, which takes its newest frame (of a file the next one), searches it, and hands its crops to
    the engine that all share. A source that is slow, lost or at its end stops only its own thread. One that fails is a
    warning, and an error once the others have ended.

    Attributes:
        sources: The open sources by name.
        failed: The errors of those that could not be read to their ends, by name.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        sources: Mapping[str, Source],
        options: StreamOptions | None = None,
        temporal: bool | None = None,
    ):
        """``sources`` are open, and closed by ``close``; their names are set to the keys. InputError for pictures."""
        for name, source in sources.items():
            if source.kind not in ("video", "live"):
                raise InputError(f"{name} is a picture or a folder of pictures; only videos and cameras can be streams")
        shared = recognizer.sharing_calls()
        self.sources = dict(sources)
        self.failed: dict[str, MienError] = {}
        self._engine = recognizer.engine
        self._streams = {
            name: stream_for(shared, source, options, temporal=temporal) for name, source in sources.items()
        }
        self._fatal: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self._stopped = False
        _OPEN.add(self)
        for name, source in sources.items():
            source.name = name

    def run(self, take: Callable[[StreamFrame], None]) -> None:
        """Read all sources until they end or ``stop`` is called.

        Args:
            take: Gets each frame, on the thread of its source: frames of one source come in order, those of several at
                the same time. What it raises ends all of them.

        Raises:
            SourceError: A source failed; told after the others have ended.
            MienError: The engine failed.
        """
        self._start(take, lambda: None)
        try:
            self._join()
        finally:
            self._end()
        self._check()

    def __iter__(self) -> Iterator[StreamFrame]:
        ready: SimpleQueue[StreamFrame | None] = SimpleQueue()
        # One frame of each source may wait here: whoever iterates slowly gets newer frames of cameras, not a queue.
        free = {name: threading.Semaphore() for name in self.sources}

        def take(seen: StreamFrame) -> None:
            while not self._stopped:
                if free[seen.source].acquire(timeout=POLL_SECONDS):
                    ready.put(seen)
                    return

        self._start(take, lambda: ready.put(None))
        try:
            left = len(self.sources)
            while left:
                seen = ready.get()
                if seen is None:
                    left -= 1
                    continue
                free[seen.source].release()
                yield seen
        finally:
            self.close()
        self._check()

    def stop(self) -> None:
        """End all sources within 0.2 s. Any thread and any signal handler may call this."""
        self._stopped = True
        for source in self.sources.values():
            source.stop()

    def close(self) -> None:
        """Stop, wait for the threads, and release all sources. May be called twice."""
        self._end()
        close_all(self.sources)

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, take: Callable[[StreamFrame], None], ended: Callable[[], None]) -> None:
        if self._threads:
            raise InputError("these sources were read already; open them again")

        def read(name: str) -> None:
            try:
                for seen in self._read(name):
                    take(seen)
            except BaseException as error:
                self._fatal = self._fatal or error
                self.stop()
            finally:
                ended()

        self._threads = [
            threading.Thread(target=read, args=(name,), name=f"mien {name}", daemon=True) for name in self.sources
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str) -> Iterator[StreamFrame]:
        source, stream = self.sources[name], self._streams[name]
        try:
            for frame in source:
                try:
                    faces = stream.update(frame.image, frame.time)
                except MienError:
                    raise
                except Exception as error:  # the engines' errors have no common class
                    raise engine_failed(self._engine, frame, error) from error
                yield StreamFrame(name, frame, faces, stream.hidden, sum(stream.timings.values()))
                if self._stopped:
                    return
        except (SourceError, InputError) as error:
            self.failed[name] = error
            log.warning("%s", error)

    def _join(self) -> None:
        for thread in self._threads:
            while thread.is_alive():  # wake up now and then: a signal may have been delivered to another thread
                thread.join(POLL_SECONDS)

    def _end(self) -> None:
        self.stop()
        self._join()

    def _check(self) -> None:
        if self._fatal:
            raise self._fatal
        if self.failed:
            first = next(iter(self.failed.values()))
            names = ", ".join(self.failed)
            raise SourceError(f"{len(self.failed)} of {len(self.sources)} sources failed: {names}: {first}") from first


_OPEN: weakref.WeakSet[Streams] = weakref.WeakSet()
"""A thread that is in native code when Python shuts down would abort the program."""


@atexit.register
def _end_all() -> None:
    for streams in list(_OPEN):
        streams._end()


def run_streams(
    sources: Mapping[str, str | int | Path | Source] | Sequence[str | int | Path | Source],
    recognizer: Recognizer | None = None,
    *,
    options: StreamOptions | None = None,
    temporal: bool | None = None,
) -> Streams:
    """Read several cameras and videos at the same time, with one model.

    Args:
        sources: What ``open_source`` takes, or sources that are open, by name; or a sequence of these, whose names are
            made: ``camera-0``, the file without folder and suffix, or host and path.
        recognizer: The recognizer. None for ``Recognizer()``.
        options: Of each stream. ``max_gap`` is raised for sources of less than 2.5 frames a second.
        temporal: As for ``Recognizer.stream``.

    Returns:
        The streams, open. Iterate over them for a ``StreamFrame`` at a time, and use ``with`` or ``close`` if you may
        not come to that.

    Raises:
        SourceError: A source cannot be opened. The others are closed again.
        InputError: Two sources have the same name, a name cannot be that of a file, or a source is no video or camera.
    """
    if isinstance(sources, (str, bytes, Path)) or not isinstance(sources, (Mapping, Sequence)):
        raise InputError(f"sources is {sources!r}; use a list, or a dictionary of names, such as {{'front': 0}}")
    if not sources:
        raise InputError("sources is empty; give one or more cameras or videos")
    pairs = sources.items() if isinstance(sources, Mapping) else [(_name(source), source) for source in sources]
    named = by_name((check_name(name), source) for name, source in pairs)
    opened = open_all({name: partial(_opened, source) for name, source in named.items()})
    try:
        return Streams(recognizer or Recognizer(), opened, options, temporal)
    except BaseException:
        close_all(opened)
        raise


def stream_for(
    recognizer: Recognizer, source: Source, options: StreamOptions | None = None, *, temporal: bool | None = None
) -> Stream:
    """A stream for the frames of ``source``, in which faces of a slow source keep their ids from frame to frame."""
    given = options or StreamOptions()
    longest = max(given.max_gap, 2.5 / (source.fps or 25))
    return recognizer.stream(temporal=temporal, **vars(replace(given, max_gap=longest)))


def _opened(source: str | int | Path | Source) -> Source:
    return source if isinstance(source, Source) else open_source(source)


def _name(source: str | int | Path | Source) -> str:
    return default_name(source.name if isinstance(source, Source) else source)
