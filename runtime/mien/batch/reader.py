"""A worker: reads its pieces with one recognizer."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.batch.inputs import Input
from mien.batch.pieces import Piece, Result
from mien.batch.rows import Row, failed_row, new_row, with_faces
from mien.batch.segments import Seen, count_segments, frames_of, span
from mien.batch.settings import Model
from mien.batch.stores import fetched
from mien.batch.tables import Table, encoded, joined
from mien.errors import MienError
from mien.paths import readable
from mien.recognizer import Recognizer
from mien.sinks.parquet import face_schema, face_table
from mien.sinks.records import row as face_row
from mien.sources.base import Source
from mien.sources.factory import open_source
from mien.sources.images import read_image
from mien.sources.video import Video, quiet_opencv
from mien.tracking.options import StreamOptions
from mien.types import Face, Frame

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 4096
"""Rows that wait as Python objects before they become a table."""
HASH_BYTES = 2**20


class Cut(Exception):
    """The video is long enough to be read in ``count`` segments."""

    def __init__(self, count: int):
        super().__init__(count)
        self.count = count


class Reader:
    """Reads pieces. Its process gets one thread for pictures, since there are as many workers as cores."""

    def __init__(self, model: Model):
        """Load the model. MienError if that fails on this machine."""
        quiet_opencv()
        self._model = model
        self._recognizer: Recognizer = pickle.loads(model.recognizer)
        self._schema = face_schema(model.labels)

    def __call__(self, piece: Piece) -> Result:
        """Read a piece. What is wrong with an input is said in its row."""
        read = []
        for item in piece.inputs:
            try:
                read.append(self._read(item, piece))
            except Cut as found:
                return Result(cut=found.count)
        table = Table(joined([one.faces for one in read]), [one.rows[0] for one in read], read[0].more)
        return Result(encoded(table), table.rows)

    def _read(self, item: Input, piece: Piece) -> Table:
        """One input, or one segment of it."""
        about, copy = new_row(item, piece.part, self._model.name), ""
        with _warnings() as told:
            try:
                with fetched(item) as path:
                    copy = str(path)
                    sha = "" if piece.number and piece.segment else _digest(path)
                    about = replace(about, size=path.stat().st_size, sha256=sha)
                    table = self._picture(item, path, about) if item.picture else self._open(item, path, about, piece)
            except Cut:
                raise
            except Exception as error:  # also what decoders and engines raise, which have no common class
                table = Table(self._table([]), [failed_row(about, _shown(_words(error), copy, item))])
        warnings = "; ".join(dict.fromkeys(_shown(words, copy, item) for words in told))
        return table._replace(rows=[replace(table.rows[0], warnings=warnings)])

    def _picture(self, item: Input, path: Path, about: Row) -> Table:
        image = read_image(path)
        faces = self._table(self._rows(Frame(image, 0.0, 0, item.name), self._recognizer.predict(image)))
        return Table(faces, [with_faces(replace(about, frames=1), faces)])

    def _open(self, item: Input, path: Path, about: Row, piece: Piece) -> Table:
        with open_source(path) as source:
            if source.kind != "video":
                return self._picture(item, path, about)
            if not piece.segment and not piece.whole:
                count = count_segments(source, self._model.segment_s)
                if count > 1:
                    raise Cut(count)
            return self._video(item, source, about, piece)

    def _video(self, item: Input, source: Source, about: Row, piece: Piece) -> Table:
        tables, rows, seen = [], [], Seen()
        step, last = 1 / (source.fps or 25), 0.0
        frames: Iterator[Frame] = iter(source)
        if piece.segment and isinstance(source, Video):
            frames = frames_of(source, span(piece.number, piece.count, self._model.segment_s), seen)
        stream = self._recognizer.stream(
            temporal=self._model.temporal,
            smoothing=self._model.smoothing,
            max_gap=max(StreamOptions.max_gap, 2.5 * step),
        )
        count = 0
        for frame, faces in stream.read(frames):
            named = replace(frame, name=item.name, index=count)
            rows += self._rows(named, faces)
            count, last = count + 1, frame.time
            if len(rows) >= CHUNK_ROWS:
                tables.append(self._table(rows))
                rows = []
        faces_table = joined([*tables, self._table(rows)])
        about = replace(about, frames=count, seconds=round(last + step, 4) if count else 0.0)
        return Table(faces_table, [with_faces(about, faces_table)], seen.as_dict() if piece.segment else None)

    def _rows(self, frame: Frame, faces: list[Face]) -> list[list[str | int | float | None]]:
        return [face_row(frame, number, face, self._model.labels) for number, face in enumerate(faces)]

    def _table(self, rows: list[list[str | int | float | None]]) -> pa.Table:
        return face_table(rows, self._schema)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Within the context, the warnings of mien are collected in the list instead of being printed."""
    told: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("mien")
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield told
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _words(error: Exception) -> str:
    if isinstance(error, MienError):
        return str(error)
    text = getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _shown(words: str, copy: str, item: Input) -> str:
    """A message with the input's name in place of that of the file that was read, which may be a copy."""
    return readable(words.replace(copy, item.name) if copy else words)
