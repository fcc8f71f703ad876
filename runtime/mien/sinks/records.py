"""Faces as records and rows; JSON lines and CSV: complete records, written as they come."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from mien.errors import OutputError
from mien.files import write_all
from mien.types import Face, Frame

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")


class Sink(Protocol):
    """Takes the faces of each frame. If the process is killed, the records of all frames before are complete."""

    def write(self, frame: Frame, faces: Sequence[Face]) -> None: ...
    def close(self) -> None: ...


def record(frame: Frame, number: int, face: Face) -> dict[str, Any]:
    """A face as in JSON lines and on the live page: times in s, positions in px of the frame.

    ``face`` counts the faces of this frame from 0. ``track`` is the stable id, None outside of a stream. ``valence``
    and ``arousal`` are None for a model without them.
    """
    points = None if face.landmarks is None else [[_px(x), _px(y)] for x, y in face.landmarks.tolist()]
    return {
        "source": frame.name,
        "frame": frame.index,
        "time": round(frame.time, 4),
        "face": number,
        "track": face.track_id,
        "box": list(map(_px, face.box.tolist())),
        "landmarks": points,
        "score": round(face.score, 4),
        "expression": face.expression.label,
        "confidence": round(face.expression.confidence, 6),
        "probabilities": {name: round(value, 6) for name, value in face.expression.probabilities.items()},
        "valence": face.affect and round(face.affect.valence, 4),
        "arousal": face.affect and round(face.affect.arousal, 4),
    }


def columns(labels: Sequence[str]) -> list[str]:
    """The columns of a table of faces, one value each: those of CSV and Parquet. ``labels``: the classes of the model,
    in order, whose probabilities are the columns ``p_<class>``."""
    points = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
    head = ["source", "frame", "time", "face", "track", "x1", "y1", "x2", "y2", *points, "score", "expression"]
    return [*head, "confidence", *(f"p_{label}" for label in labels), "valence", "arousal"]


def row(frame: Frame, number: int, face: Face, labels: Sequence[str]) -> list[str | int | float | None]:
    """The values of ``columns`` for a face, with the meaning that they have in ``record``. Unknown landmarks are None,
    and so are valence and arousal for a model without them."""
    found, affect = face.expression, face.affect
    points = [None] * 10 if face.landmarks is None else list(map(_px, face.landmarks.ravel().tolist()))
    return [
        frame.name,
        frame.index,
        round(frame.time, 4),
        number,
        face.track_id,
        *map(_px, face.box.tolist()),
        *points,
        round(face.score, 4),
        found.label,
        round(found.confidence, 6),
        *(round(found.probabilities[label], 6) for label in labels),
        *((None, None) if affect is None else (round(affect.valence, 4), round(affect.arousal, 4))),
    ]


class JsonLines:
    """Writes one line with a JSON object per face, as ``record`` makes it, to ``path``; ``-`` is stdout. OutputError if
    that fails."""

    def __init__(self, path: str):
        self._out = _Lines(path)

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        self._out.write("".join(json.dumps(record(frame, number, face)) + "\n" for number, face in enumerate(faces)))

    def close(self) -> None:
        self._out.close()


class Csv:
    """Writes a header and one row per face, with the columns of ``columns``. What is unknown stays empty."""

    def __init__(self, path: str, labels: Sequence[str]):
        self._out = _Lines(path)
        self._labels = labels
        self._rows([columns(labels)])

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        self._rows([row(frame, number, face, self._labels) for number, face in enumerate(faces)])

    def _rows(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._out.write(text.getvalue())

    def close(self) -> None:
        self._out.close()


class _Lines:
    """Writes complete lines to a file or stdout. A write that fails, for example on a full disk, is undone."""

    def __init__(self, path: str):
        self._name = "stdout" if path == "-" else path
        self._own = path != "-"
        self._file: int | None = None
        try:
            if self._own:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_BINARY", 0)
                self._file = os.open(path, flags, 0o666)
            else:
                with suppress(io.UnsupportedOperation, AttributeError):  # a notebook's stdout is not a file
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
            # A file name may contain bytes that are not UTF-8.
            self._whole(self._file, text.encode("utf-8", "surrogateescape"))
        except BrokenPipeError:  # the reader has gone
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
        """May be called twice. OutputError if the system reports only now that it could not write."""
        file, self._file = self._file, None
        if file is None or not self._own:
            return
        try:
            os.close(file)
        except OSError as error:
            raise OutputError(f"cannot write {self._name}: {error.strerror}; free some space") from error


def _px(value: float) -> float:
    return round(value, 2)
