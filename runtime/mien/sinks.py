"""Faces -> JSON lines or CSV: one record a face, as it comes."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from mien.errors import OutputError
from mien.faces import Face, Frame
from mien.sources import Source

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")


class Sink(Protocol):
    """Writes whole records at once, and nothing for a frame without a face."""

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
    """One JSON object a line and face, as ``record`` makes it."""

    def __init__(self, path: str):
        self._file = _open_text(path)

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        for number, face in enumerate(faces):
            _write_text(self._file, json.dumps(record(frame, number, face)) + "\n")

    def close(self) -> None:
        _close_text(self._file)


class Csv:
    """One row a face, below a header; ``p_<class>`` are the probabilities. Landmarks that are unknown stay empty."""

    def __init__(self, path: str, labels: Sequence[str]):
        self._file = _open_text(path)
        self._labels = labels
        points = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
        self._row(
            [
                "source",
                "frame",
                "time",
                "face",
                "track",
                "x1",
                "y1",
                "x2",
                "y2",
                *points,
                "score",
                "expression",
                "confidence",
                *(f"p_{label}" for label in labels),
                "valence",
                "arousal",
            ]
        )

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        for number, face in enumerate(faces):
            found, affect = face.expression, face.affect
            points = [""] * 10 if face.landmarks is None else [_px(value) for value in face.landmarks.flat]
            self._row(
                [
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
            )

    def _row(self, values: Sequence[object]) -> None:
        # A row goes to the file in one piece, so that an interrupted run leaves whole lines.
        line = _Line()
        csv.writer(line, lineterminator="\n").writerow(values)
        _write_text(self._file, line.text)

    def close(self) -> None:
        _close_text(self._file)


class _Line:
    text = ""

    def write(self, text: str) -> None:
        self.text += text


def check_output(path: str, source: Source) -> None:
    """OutputError where no file can be written at ``path`` (``-`` is stdout), or where ``source`` reads it.

    Nothing is opened or emptied yet, so a model that fails to load costs no earlier results.
    """
    if path == "-":
        return
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file")
    check_folder(target.absolute().parent)
    if target.exists() and not os.access(target, os.W_OK):
        raise OutputError(f"no permission to write {path}; choose another name")
    if any(target.exists() and target.samefile(read) for read in source.paths):
        raise OutputError(f"{path} is what is read, and would be overwritten; choose another name")


def check_folder(folder: Path) -> None:
    """OutputError where no file can be made in ``folder``."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder; choose another place")
    if not os.path.isdir(folder):
        raise OutputError(f"the folder {folder} does not exist; make it with: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"no permission to write in the folder {folder}; choose another place")


def _open_text(path: str) -> TextIO:
    try:
        # A file name may hold bytes that are no UTF-8.
        return sys.stdout if path == "-" else open(path, "w", encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from error


def _write_text(file: TextIO, text: str) -> None:
    try:
        file.write(text)
        file.flush()
    except BrokenPipeError:  # the reader has seen enough
        raise
    except OSError as error:
        raise OutputError(f"cannot write {file.name}: {error.strerror}; free some space") from error


def _close_text(file: TextIO) -> None:
    if file is sys.stdout:
        return
    try:
        file.close()
    except OSError as error:
        raise OutputError(f"cannot write {file.name}: {error.strerror}; free some space") from error


def _px(value: float) -> float:
    return round(float(value), 2)
