"""Faces -> JSON lines, CSV or a function: whole records, as they come."""

from __future__ import annotations

import csv
import io
import json
import os
import select
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from mien.errors import MienError, OutputError
from mien.faces import Face, Frame
from mien.sources import Source

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")


class Sink(Protocol):
    """Takes what was found in each frame. A killed process leaves whole records of all frames before."""

    def write(self, frame: Frame, faces: Sequence[Face]) -> None: ...
    def close(self) -> None: ...


def record(frame: Frame, number: int, face: Face) -> dict[str, Any]:
    """A face as JSON lines and the live page give it: times in s, places in px of the frame.

    ``face`` counts the faces of this frame from 0; ``track`` is the id that stays, or None outside of a stream.
    """
    points = None if face.landmarks is None else [[_px(x), _px(y)] for x, y in face.landmarks]
    return {
        "source": frame.name,
        "frame": frame.index,
        "time": round(frame.time, 4),
        "face": number,
        "track": face.track_id,
        "box": [_px(value) for value in face.box],
        "landmarks": points,
        "score": round(face.score, 4),
        "expression": face.expression.label,
        "confidence": round(face.expression.confidence, 6),
        "probabilities": {name: round(value, 6) for name, value in face.expression.probabilities.items()},
        "valence": round(face.affect.valence, 4),
        "arousal": round(face.affect.arousal, 4),
    }


class JsonLines:
    """One JSON object a line and face, as ``record`` makes it, at ``path``; ``-`` is stdout. OutputError where that
    cannot be written."""

    def __init__(self, path: str):
        self._out = _Lines(path)

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        self._out.write("".join(json.dumps(record(frame, number, face)) + "\n" for number, face in enumerate(faces)))

    def close(self) -> None:
        self._out.close()


class Csv:
    """One row a face, below a header; ``p_<class>`` are the probabilities. Landmarks that are unknown stay empty."""

    def __init__(self, path: str, labels: Sequence[str]):
        self._out = _Lines(path)
        self._labels = labels
        points = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
        head = ["source", "frame", "time", "face", "track", "x1", "y1", "x2", "y2", *points, "score", "expression"]
        self._rows([[*head, "confidence", *(f"p_{label}" for label in labels), "valence", "arousal"]])

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        self._rows([self._row(frame, number, face) for number, face in enumerate(faces)])

    def _row(self, frame: Frame, number: int, face: Face) -> list[object]:
        found, affect = face.expression, face.affect
        points = [""] * 10 if face.landmarks is None else [_px(value) for value in face.landmarks.flat]
        return [
            frame.name,
            frame.index,
            round(frame.time, 4),
            number,
            "" if face.track_id is None else face.track_id,
            *map(_px, face.box),
            *points,
            round(face.score, 4),
            found.label,
            round(found.confidence, 6),
            *(round(found.probabilities[label], 6) for label in self._labels),
            round(affect.valence, 4),
            round(affect.arousal, 4),
        ]

    def _rows(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._out.write(text.getvalue())

    def close(self) -> None:
        self._out.close()


class Callback:
    """Calls ``function(frame, faces)`` for every frame, also for one without a face.

    What it raises comes out as a MienError that names the frame, with the exception as its cause; MienErrors and a
    broken pipe come out as they are.
    """

    def __init__(self, function: Callable[[Frame, Sequence[Face]], object]):
        self._function = function

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        try:
            self._function(frame, faces)
        except (MienError, BrokenPipeError):
            raise
        except Exception as error:
            name = getattr(self._function, "__qualname__", repr(self._function))
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise MienError(f"{name} failed on frame {frame.index} of {frame.name}: {what}") from error

    def close(self) -> None:
        pass


def check_output(path: str, source: Source) -> None:
    """OutputError where no file can be written at ``path`` (``-`` is stdout), or where ``source`` reads it.

    Nothing is opened or emptied yet, so a model that fails to load costs no earlier results.
    """
    if path == "-":
        return
    check_name(path)
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file")
    check_folder(target.absolute().parent)
    if target.exists() and not os.access(target, os.W_OK):
        raise OutputError(f"no permission to write {path}; choose another name")
    if any(target.exists() and target.samefile(read) for read in source.paths):
        raise OutputError(f"{path} is what is read, and would be overwritten; choose another name")


def check_name(path: str) -> None:
    """OutputError for a name that no file can have."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # told better elsewhere
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"cannot write {path[:80]}...: {why}; choose another name") from error


def check_distinct(paths: Sequence[str | None]) -> None:
    """OutputError where two outputs would go to one file."""
    files = [os.path.realpath(path) for path in paths if path not in (None, "-")]
    for path in files:
        if files.count(path) > 1:
            raise OutputError(f"two outputs would go to {path}; give each a name of its own")


def check_folder(folder: Path) -> None:
    """OutputError where no file can be made in ``folder``."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder; choose another place")
    if not os.path.isdir(folder):
        raise OutputError(f"the folder {folder} does not exist; make it with: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"no permission to write in the folder {folder}; choose another place")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file aside, then move it into place, so that it is whole or not there. OutputError where that fails."""
    path = Path(os.path.realpath(path))
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():  # a device or pipe, which must not be replaced
            path.write_bytes(data)
            return
        aside.write_bytes(data)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror}; free space or choose another place") from error


def write_all(file: int, data: bytes) -> None:
    """Write all of ``data`` to a descriptor, in one call where the system takes it. OSError where it cannot."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(file, rest) :]
        except BlockingIOError:  # a pipe that another program made non-blocking
            select.select([], [file], [])


class _Lines:
    """Whole lines to a file or stdout. What is given at once is written at once and, on a full disk, taken back."""

    def __init__(self, path: str):
        self._name = "stdout" if path == "-" else path
        self._own = path != "-"
        self._file: int | None = None
        try:
            if self._own:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_BINARY", 0)
                self._file = os.open(path, flags, 0o666)
            else:
                with suppress(io.UnsupportedOperation, AttributeError):  # a notebook's stdout is no file
                    self._file = sys.stdout.fileno()
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from error

    def write(self, text: str) -> None:
        if not text:
            return
        try:
            if not self._own:
                sys.stdout.flush()
            if self._file is None:
                sys.stdout.write(text)
                sys.stdout.flush()
                return
            # A file name may hold bytes that are no UTF-8.
            self._whole(self._file, text.encode("utf-8", "surrogateescape"))
        except BrokenPipeError:  # the reader has seen enough
            raise
        except OSError as error:
            raise OutputError(f"cannot write {self._name}: {error.strerror}; free some space") from error

    def _whole(self, file: int, data: bytes) -> None:
        try:
            before = os.lseek(file, 0, os.SEEK_END) if self._own else None
        except OSError:  # a pipe
            before = None
        try:
            write_all(file, data)
        except OSError:
            if before is not None:
                with suppress(OSError):
                    os.ftruncate(file, before)
            raise

    def close(self) -> None:
        """Twice does no harm. OutputError where the system tells only now that it could not write."""
        file, self._file = self._file, None
        if file is None or not self._own:
            return
        try:
            os.close(file)
        except OSError as error:
            raise OutputError(f"cannot write {self._name}: {error.strerror}; free some space") from error


def _px(value: float) -> float:
    return round(float(value), 2)
