"""What gives frames; pictures as the simplest of it."""

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
"""How often, in s, a source that waits for a frame looks whether it was stopped."""

log = logging.getLogger(__name__)


class Source(ABC):
    """Frames to iterate over once, and a context manager that lets go of the file or device.

    ``kind``: image, images (a folder or glob), video (it has an end) or live. ``name``: as given, without passwords,
    and with escapes for bytes that are no UTF-8.
    ``fps``: frames per second, or None. ``size``: width, height in px, or None where it differs between frames; that of
    a live source may change when it was lost. ``count``: frames announced, or None. ``paths``: the files that are read.
    ``dropped``: frames of a live source that were let go because newer ones came. ``state``: open, lost (a live source
    that is being opened again) or ended. ``decoder``: of a video or stream: OpenCV, or PyAV where that cannot.
    Any thread may read them. Times of frames rise, in seconds since the first.
    Trouble with single frames is a warning of the loggers below ``mien``.
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
        """End the iteration within 0.2 s, also while it waits. Any thread and signal handler may call this."""
        self._stopped = True  # an Event would take a lock, which the thread under the signal handler may hold

    def close(self) -> None:
        """Stop, and release the file or device. Twice does no harm."""
        self.stop()
        self.state = "ended"

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Threaded(Source):
    """What reads by threads, its own or a decoder's. A fork copies none of them, so it is used where it was opened."""

    def __init__(self) -> None:
        _THREADED.add(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self.name} is open, and is neither copied nor pickled; open it where it is to be read")

    def close(self) -> None:
        super().close()
        if not self._forked:
            self._release()

    @abstractmethod
    def _release(self) -> None:
        """Let go of threads, file and device."""

    def _check_process(self) -> None:
        """SourceError in a process that was forked after this was opened."""
        if self._forked:
            raise SourceError(
                f"{self.name} was opened before this process was forked; open it in the process that reads it"
            )

    def _leave(self) -> None:
        """After a fork, in the child: never let go of what is the parent's, as that would wait for its threads."""
        self._forked = True
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))


_THREADED: weakref.WeakSet[Threaded] = weakref.WeakSet()
"""One that is inside of native code when Python shuts down would abort the program."""


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
    """One picture file. It is read at once, so that a bad one is known before anything else starts."""

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
    """Many picture files, in the order given. An unreadable one is a warning and leaves its index out; SourceError
    where all are."""

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
