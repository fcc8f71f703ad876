"""Faces as Parquet: the columns of CSV, typed; one file, or a folder of files for runs without an end."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import LibraryBroken, OutputError
from mien.files import replacing
from mien.paths import readable
from mien.sinks.paths import Reads, check_into, check_output, make_folder, names_folder
from mien.sinks.records import columns, row
from mien.types import Face, Frame

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 8192
"""Rows of a row group, and at most of a part. They wait in memory until there are so many."""
PART_S = 60.0
"""In a folder, rows wait at most this long for others before they become a part, so a killed run loses no more."""
COMPRESSION = "zstd"
INTEGERS = {"frame": "int64", "face": "int32", "track": "int64"}
TEXTS = ("source", "expression")


def face_schema(labels: Sequence[str]) -> pa.Schema:
    """The typed columns of a table of faces, those of ``columns(labels)`` in ``mien.sinks.records``.

    Texts are ``string``, ``frame`` and ``track`` ``int64``, ``face`` ``int32``, ``time`` ``double``, and all others
    ``float``. ``track``, landmarks, valence and arousal may be null. LibraryBroken if pyarrow is missing.
    """
    pa = _pyarrow()
    fields = []
    for name in columns(labels):
        kind = "string" if name in TEXTS else INTEGERS.get(name, "float64" if name == "time" else "float32")
        nullable = name in ("track", "valence", "arousal") or name.endswith(("_x", "_y"))
        fields.append(pa.field(name, pa.type_for_alias(kind), nullable))
    return pa.schema(fields)


def face_table(rows: Sequence[Sequence[object]], schema: pa.Schema) -> pa.Table:
    """``rows``, as ``row`` in ``mien.sinks.records`` makes them, in the columns of ``face_schema``. Names of sources
    with bytes that are not UTF-8 have escapes in their place, as Parquet's texts are UTF-8."""
    pa = _pyarrow()
    by_column = zip(*rows, strict=True) if rows else ([] for _ in schema)
    arrays = []
    for field, values in zip(schema, by_column, strict=True):
        texts = (readable(str(value)) for value in values) if field.name in TEXTS else values
        arrays.append(pa.array(texts, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def check_parquet(path: str, source: Reads, *, folder: bool = False) -> None:
    """OutputError if no Parquet file can be written at ``path``, or if ``source`` reads it; LibraryBroken if pyarrow is
    missing. Nothing is opened yet.

    ``folder``: take ``path`` for a folder, even if its name does not say so.
    """
    _pyarrow()
    if path == "-":
        raise OutputError("Parquet cannot be written to standard output; give it the name of a file")
    if folder or names_folder(path):
        check_into(path, source)
        return
    check_output(path, source)
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(f"{path} is not a regular file, as Parquet needs; choose another name")


class Parquet:
    """Writes one row per face with the columns of ``face_schema``.

    To a file: it is written beside ``path`` and moved there by ``close``. So ``path`` is always a complete file, of
    this run or an earlier one, and a killed run leaves only a hidden file that cannot be read. To a folder (a name that
    ends with a slash): a complete file at least every PART_S seconds while faces come, beside those of earlier runs. So
    a killed run lacks at most that time, and the folder can be read while it grows.
    """

    def __init__(self, path: str, labels: Sequence[str]):
        """Begin to write at ``path``. ``labels``: the classes of the model, in order. OutputError if that fails,
        LibraryBroken if pyarrow is missing."""
        self.schema = face_schema(labels)
        self._labels = labels
        self._path = Path(path)
        self._rows: list[list[str | int | float | None]] = []
        self._since = 0.0
        self._closed = False
        self._file: _OneFile | _Parts
        with _told(self._path):
            self._file = (_Parts if names_folder(path) else _OneFile)(self._path, self.schema)

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        """Take the faces of a frame. OutputError if a full group of rows cannot be written; then nothing more is."""
        self._since = self._since if self._rows else time.monotonic()
        self._rows += [row(frame, number, face, self._labels) for number, face in enumerate(faces)]
        waited = time.monotonic() - self._since
        if self._rows and (len(self._rows) >= ROWS or waited >= self._file.patience_s):
            self._flush()

    def close(self) -> None:
        """Complete the file. May be called twice. OutputError if that fails."""
        if self._closed:
            return
        if self._rows or self._file.empty:
            self._flush()
        self._closed = True
        with _told(self._path):
            self._file.close()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        try:
            with _told(self._path):
                self._file.write(face_table(rows, self.schema))
        except BaseException:
            self._closed = True
            self._file.abandon()
            raise


class _OneFile:
    """A file that ``close`` moves into place."""

    patience_s = float("inf")

    def __init__(self, path: Path, schema: pa.Schema):
        import pyarrow.parquet as pq

        self.empty = True
        self._stack = ExitStack()
        partial = self._stack.enter_context(replacing(path))
        self._writer = pq.ParquetWriter(partial, schema, compression=COMPRESSION)

    def write(self, table: pa.Table) -> None:
        self.empty = False
        self._writer.write_table(table)

    def close(self) -> None:
        try:
            self._writer.close()
        except BaseException:
            self.abandon()
            raise
        self._stack.close()

    def abandon(self) -> None:
        """Remove what was written; an earlier file stays."""
        with suppress(OSError):
            self._writer.close()
        self._stack.__exit__(OSError, OSError(), None)


class _Parts:
    """A folder to which every table adds a file, under a name that no other run uses."""

    patience_s = PART_S

    def __init__(self, path: Path, schema: pa.Schema):
        make_folder(path)
        self.empty = True
        self._folder = path
        self._run = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
        self._count = 0

    def write(self, table: pa.Table) -> None:
        import pyarrow.parquet as pq

        self.empty = False
        with replacing(self._folder / f"{self._run}-{self._count:05d}.parquet") as partial:
            pq.write_table(table, partial, compression=COMPRESSION)
        self._count += 1

    def close(self) -> None:
        """All parts are complete already."""

    def abandon(self) -> None:
        """The part that failed was removed already."""


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Within the context, what the system refuses becomes an OutputError."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:  # those of pyarrow often hold no more than a text
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; free some space, or choose another name"
        ) from error


def _pyarrow() -> pa:
    try:
        import pyarrow
    except ImportError as error:
        raise LibraryBroken(f'Parquet needs pyarrow ({error}); run: pip install "mien[parquet]"') from error
    return pyarrow
