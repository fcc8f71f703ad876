"""Pictures of one size -> a video file that plays even where the process is killed."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import cv2

from mien.errors import OutputError
from mien.faces import Image
from mien.mp4 import GrowingMovie, Piece, read_piece
from mien.paths import for_opencv

# Codecs by file suffix, the better one first; what this OpenCV cannot encode is passed over.
CODECS = {".mp4": ("avc1", "mp4v"), ".mov": ("avc1", "mp4v"), ".mkv": ("avc1", "mp4v"), ".avi": ("MJPG",)}
FLUSH = 1.0
"""Seconds of work after which an .mp4 or .mov plays so far."""
OPENING = 0.02
"""The share of the time that opening an encoder anew for each piece may take: a slow one gets longer pieces."""


class Encoder(Protocol):
    """Takes uint8 BGR pictures of the size that it was opened for. OutputError where they cannot be written."""

    def write(self, image: Image) -> None: ...
    def close(self) -> None: ...


def open_encoder(path: Path, fps: float, size: tuple[int, int], backend: int = cv2.CAP_ANY) -> Encoder:
    """For a suffix of CODECS and even sizes (width, height). OutputError where ``path`` cannot be written."""
    return (_Pieces if path.suffix.lower() in (".mp4", ".mov") else _Plain)(path, fps, size, backend)


class _Plain:
    """OpenCV's own file. An .avi or .mkv plays without its end."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int], backend: int):
        self._path = path
        for codec in CODECS[path.suffix.lower()]:
            with for_opencv(path) as name:
                self._writer = cv2.VideoWriter(name, backend, cv2.VideoWriter.fourcc(*codec), fps, size)
            if self._writer.isOpened():
                return
        raise _refusal(path, size)

    def write(self, image: Image) -> None:
        self._writer.write(image)

    def close(self) -> None:
        self._writer.release()


class _Pieces:
    """Short files, one after the other, whose contents go to the end of the real one. The first holds one picture:
    that proves the codec, and the video plays from then on."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int], backend: int):
        self._path, self._fps, self._size, self._backend = path, fps, size, backend
        self._aside = path.with_name(f".{path.stem}.part{path.suffix}")
        self._codecs = list(CODECS[path.suffix.lower()])
        self._movie = GrowingMovie(path, fps)
        self._writer: cv2.VideoWriter | None = None
        self._file: BinaryIO | None = None
        self._count, self._end, self._proven = 0, 0.0, False
        self._costs: deque[float] = deque(maxlen=5)

    def write(self, image: Image) -> None:
        if not self._proven:
            self._prove(image)
            return
        if self._writer is None and not self._open(self._codecs[0]):
            raise _refusal(self._path, self._size)
        assert self._writer is not None
        self._writer.write(image)
        self._count += 1
        if time.monotonic() >= self._end:
            self._movie.append(self._finish())

    def close(self) -> None:
        try:
            if self._writer is not None:
                self._movie.append(self._finish())
        finally:
            self._movie.close()

    def _prove(self, image: Image) -> None:
        trouble = _refusal(self._path, self._size)
        for codec in list(self._codecs):
            if self._open(codec):
                assert self._writer is not None
                self._writer.write(image)
                self._count = 1
                try:
                    self._movie.append(self._finish())
                    self._proven = True
                    return
                except OutputError as error:
                    trouble = error
            self._codecs.remove(codec)
        raise trouble

    def _open(self, codec: str) -> bool:
        start = time.monotonic()
        fourcc = cv2.VideoWriter.fourcc(*codec)
        with for_opencv(self._aside) as name:
            self._writer = cv2.VideoWriter(name, self._backend, fourcc, self._fps, self._size)
        if not self._writer.isOpened():
            self._writer = None
            self._aside.unlink(missing_ok=True)
            return False
        self._file = self._aside.open("rb")
        with suppress(OSError):  # where the system allows it, so that a kill hardly ever leaves it behind
            self._aside.unlink()
        now = time.monotonic()
        self._costs.append(now - start)
        # On a busy machine one or two take long by chance: only an encoder that always does is slow.
        slow = min(self._costs) / OPENING if len(self._costs) == self._costs.maxlen else 0.0
        self._count, self._end = 0, now + max(FLUSH, slow)
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
            if len(piece.samples) == self._count:
                return piece
            what = f"{len(piece.samples)} of {self._count} frames"
        except ValueError as error:
            what = str(error)
        raise OutputError(f"{self._path}: OpenCV did not encode the last second whole ({what}); is the disk full?")


def _refusal(path: Path, size: tuple[int, int]) -> OutputError:
    return OutputError(f"OpenCV {cv2.__version__} cannot write {path} ({size[0]}x{size[1]}); save as .avi")
