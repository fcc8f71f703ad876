"""Encodes pictures of one size to a video file that plays even if the process is killed."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Protocol

import cv2

from mien.errors import OutputError
from mien.paths import for_native
from mien.sinks.fragmented_mp4 import GrowingMovie
from mien.sinks.mp4_boxes import Piece, read_piece
from mien.types import Image

# Codecs by file suffix, the better one first; those that this OpenCV cannot encode are skipped.
CODECS = {".mp4": ("avc1", "mp4v"), ".mov": ("avc1", "mp4v"), ".mkv": ("avc1", "mp4v"), ".avi": ("MJPG",)}
FLUSH_SECONDS = 1.0
"""How often an .mp4 or .mov is extended; it plays up to that point."""
MAX_OPENING_SHARE = 0.02
"""Share of the time that may be spent on opening an encoder for each piece: a slow encoder gets longer pieces."""


class Encoder(Protocol):
    """Writes uint8 BGR pictures of the size for which it was opened. OutputError if they cannot be written.

    ``timed``: whether each picture is shown at its ``time``, in s since the first, or all at a constant rate.
    """

    timed: bool

    def write(self, image: Image, time: float) -> None: ...
    def close(self) -> None: ...


def open_encoder(path: Path, fps: float, size: tuple[int, int], backend: int = cv2.CAP_ANY) -> Encoder:
    """Open an encoder for a suffix in CODECS and an even size (width, height). OutputError if that fails."""
    return (_Pieces if path.suffix.lower() in (".mp4", ".mov") else _Plain)(path, fps, size, backend)


class _Plain:
    """OpenCV's own file. An .avi or .mkv plays even if its end is missing."""

    timed = False

    def __init__(self, path: Path, fps: float, size: tuple[int, int], backend: int):
        self._path = path
        for codec in CODECS[path.suffix.lower()]:
            with for_native(path) as name:
                self._writer = cv2.VideoWriter(name, backend, cv2.VideoWriter.fourcc(*codec), fps, size)
            if self._writer.isOpened():
                return
        raise _refusal(path, size)

    def write(self, image: Image, time: float) -> None:
        self._writer.write(image)

    def close(self) -> None:
        self._writer.release()


class _Pieces:
    """Encodes short files, one after the other, and appends their content to the real one. The first holds only one
    picture: it proves that the codec works, and the video plays from then on."""

    timed = True

    def __init__(self, path: Path, fps: float, size: tuple[int, int], backend: int):
        self._path, self._fps, self._size, self._backend = path, fps, size, backend
        self._aside = path.with_name(f".{path.stem}.part{path.suffix}")
        self._codecs = list(CODECS[path.suffix.lower()])
        self._movie = GrowingMovie(path, fps)
        self._writer: cv2.VideoWriter | None = None
        self._file: BinaryIO | None = None
        self._times: list[float] = []
        self._end, self._proven = 0.0, False
        self._costs: deque[float] = deque(maxlen=5)

    def write(self, image: Image, time: float) -> None:
        if not self._proven:
            self._prove(image, time)
            return
        if self._writer is None and not self._open(self._codecs[0]):
            raise _refusal(self._path, self._size)
        assert self._writer is not None
        self._writer.write(image)
        self._times.append(time)
        if monotonic() >= self._end:
            self._movie.append(self._finish(), self._times)

    def close(self) -> None:
        try:
            if self._writer is not None:
                self._movie.append(self._finish(), self._times)
        finally:
            self._movie.close()

    def _prove(self, image: Image, time: float) -> None:
        problem = _refusal(self._path, self._size)
        for codec in list(self._codecs):
            if self._open(codec):
                assert self._writer is not None
                self._writer.write(image)
                self._times.append(time)
                try:
                    self._movie.append(self._finish(), self._times)
                    self._proven = True
                    return
                except OutputError as error:
                    problem = error
            self._codecs.remove(codec)
        raise problem

    def _open(self, codec: str) -> bool:
        start = monotonic()
        fourcc = cv2.VideoWriter.fourcc(*codec)
        with for_native(self._aside) as name:
            self._writer = cv2.VideoWriter(name, self._backend, fourcc, self._fps, self._size)
        if not self._writer.isOpened():
            self._writer = None
            self._aside.unlink(missing_ok=True)
            return False
        self._file = self._aside.open("rb")
        with suppress(OSError):  # if the system allows it, so that a killed process rarely leaves it behind
            self._aside.unlink()
        now = monotonic()
        self._costs.append(now - start)
        # On a busy machine, opening may take long once or twice by chance: an encoder is slow only if it always does.
        slow = min(self._costs) / MAX_OPENING_SHARE if len(self._costs) == self._costs.maxlen else 0.0
        self._times, self._end = [], now + max(FLUSH_SECONDS, slow)
        return True

    def _finish(self) -> Piece:
        assert self._writer is not None
        assert self._file is not None
        self._writer.release()
        self._writer = None
        with self._file:
            data = self._file.read()
        self._aside.unlink(missing_ok=True)
        try:
            piece = read_piece(data)
            if len(piece.samples) == len(self._times):
                return piece
            what = f"{len(piece.samples)} of {len(self._times)} frames"
        except ValueError as error:
            what = str(error)
        raise OutputError(f"{self._path}: OpenCV did not encode the last second completely ({what}); is the disk full?")


def _refusal(path: Path, size: tuple[int, int]) -> OutputError:
    return OutputError(f"OpenCV {cv2.__version__} cannot write {path} ({size[0]}x{size[1]}); save as .avi")
