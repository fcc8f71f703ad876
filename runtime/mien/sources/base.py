"""The interface of all sources, and pictures as the simplest ones."""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NoReturn

from mien.errors import SourceError
from mien.paths import readable
from mien.sources.images import read_image
from mien.types import Frame

Kind = Literal["image", "images", "video", "live"]
State = Literal["open", "lost", "ended"]

POLL_SECONDS = 0.1
"""How often a source that waits for a frame checks whether it was stopped."""

log = logging.getLogger(__name__)


class Source(ABC):
    """Frames to iterate over once, and a context manager that releases the file or device.

    Any thread may read the attributes. Times of frames increase, in seconds since the first. Problems with single
    frames are warnings of the loggers below ``mien``.

    Attributes:
        kind: image, images (a folder or glob), video (it has an end) or live.
        name: As given, without passwords, and with escapes for bytes that are not UTF-8.
        fps: Frames per second, or None if unknown.
        size: Width and height in px, or None if it differs between frames. That of a live source may change after it
            was lost.
        count: Number of frames according to the file, or None.
        paths: The files that are read.
        dropped: Frames of a live source that were skipped because newer ones came.
        state: open, lost (a live source that is being reopened) or ended.
        decoder: Of a video or stream: OpenCV, or PyAV if OpenCV cannot decode it.
    """

    kind: Kind
    name: str
    fps: float | None = None
    size: tuple[int, int] | None = None
    count: int | None = None
    paths: Sequence[Path] = ()
    dropped: int = 0
    state: State = "open"
    decoder: str | None = None
    _stopped = False
    _forked = False

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    def stop(self) -> None:
        """End the iteration within 0.2 s, even while it waits. Any thread and any signal handler may call this."""
        self._stopped = True  # an Event would need a lock, which the interrupted thread may hold

    def close(self) -> None:
        """Stop, and release the file or device. May be called twice."""
        self.stop()
        self.state = "ended"

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Threaded(Source):
    """A source that uses threads, its own or a decoder's. A fork does not copy them, so only the process that opened it
    can use it."""

    def __init__(self) -> None:
        _THREADED.add(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self.name} is open, so it cannot be copied or pickled; open it in the process that reads it")

    def close(self) -> None:
        super().close()
        if not self._forked:
            self._release()

    @abstractmethod
    def _release(self) -> None:
        """Release threads, file and device."""

    def _check_process(self) -> None:
        """SourceError in a process that was forked after the source was opened."""
        if self._forked:
            raise SourceError(
                f"{self.name} was opened before this process was forked; open it in the process that reads it"
            )

    def _leave(self) -> None:
        """After a fork, in the child: never destroy what belongs to the parent, since that would wait for its
        threads."""
        self._forked = True
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))


_THREADED: weakref.WeakSet[Threaded] = weakref.WeakSet()
"""All open ones: if one is in native code when Python shuts down, it would abort the program."""


@atexit.register
def _close_threaded() -> None:
    for source in list(_THREADED):
        source.close()


def _leave_threaded() -> None:
    for source in list(_THREADED):
        source._leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_threaded)


class Picture(Source):
    """One picture file. It is read at once, so that a broken one is reported before anything else starts."""

    kind = "image"
    count = 1

    def __init__(self, path: Path):
        self.name = readable(path)
        self.paths = [path]
        self._image = read_image(path)
        self.size = self._image.shape[1], self._image.shape[0]

    def __iter__(self) -> Iterator[Frame]:
        if not self._stopped:
            yield Frame(self._image, 0.0, 0, self.name)
        self.state = "ended"


class Pictures(Source):
    """Many picture files, in the given order. An unreadable one causes a warning, and its index is skipped; SourceError
    if all are unreadable."""

    kind = "images"

    def __init__(self, name: str, paths: Sequence[Path]):
        self.name = readable(name)
        self.paths = list(paths)
        self.count = len(paths)

    def __iter__(self) -> Iterator[Frame]:
        found = 0
        for index, path in enumerate(self.paths):
            if self._stopped:
                break
            try:
                image = read_image(path)
            except SourceError as error:
                log.warning("skipped: %s", error)
                continue
            found += 1
            yield Frame(image, 0.0, index, readable(path))
        self.state = "ended"
        if not found and not self._stopped:
            raise SourceError(f"none of the {self.count} files of {self.name} is a readable picture")
