"""The folder of results: what is done, and one driver at a time that writes it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from mien.batch.rows import DONE, Row, index_table, rows_of_index
from mien.batch.stores import is_store
from mien.batch.tables import Table, decoded, rows_in
from mien.errors import OutputError
from mien.files import write_whole
from mien.sinks.parquet import COMPRESSION
from mien.sinks.paths import check_folder, check_name

OPTIONS, INDEX, FACES, PIECES = "options.json", "index.parquet", "faces", "pieces"
REMEDY = "free some space, and start the same command again: it goes on where it stopped"
LEFT = re.compile(r"\..+\.\d+\.(parquet|json|png)")
"""Names of files that a killed run left half-written, as ``write_whole`` gives them."""
WORDS = {
    "mien": "version of mien",
    "min_face": "smallest face",
    "min_confidence": "least confidence",
    "exclude": "expressions left out",
    "personal": "personal file",
    "segment_s": "length of a segment in s",
}
"""Options in words, where their names are no words."""


def known_options(path: str) -> dict[str, Any] | None:
    """The options with which a folder was begun; None for one that does not exist or is empty. Nothing is changed.

    Raises:
        OutputError: The folder holds something else, is a file, or cannot be created or written.
    """
    if is_store(path):
        raise OutputError(f"results are written into a folder of this machine, not to {path}; copy them there later")
    check_name(path)
    folder = Path(path)
    check_folder(folder if folder.exists() else folder.absolute().parent)
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return None
        found: dict[str, Any] = json.loads((folder / OPTIONS).read_text(encoding="utf-8"))
        if not isinstance(found, dict) or "format" not in found:
            raise ValueError
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path} holds other files than results of fer-batch (no valid {OPTIONS}); choose another folder"
        ) from error
    return found


def check_options(path: str, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """OutputError, with the differences, unless a folder was begun with the options that are ``wanted``."""
    different = [
        f"{WORDS.get(key, key)}: {_told(known.get(key))} there, {_told(wanted.get(key))} now"
        for key in {**known, **wanted}
        if known.get(key) != wanted.get(key)
    ]
    if different:
        raise OutputError(
            f"{path} holds results of other options ({'; '.join(different)}); use the same, or another folder"
        )


class Folder:
    """A folder of results, open for writing. A second driver is refused."""

    def __init__(self, path: str, options: Mapping[str, Any]):
        """Create the folder, or go on with it; call ``known_options`` and ``check_options`` before. OutputError if that
        fails, or if another process writes there."""
        self.path = Path(path)
        self._lock: BinaryIO | None = None
        self.rows: dict[str, Row] = {}
        try:
            (self.path / FACES).mkdir(parents=True, exist_ok=True)
            if not (self.path / OPTIONS).exists():
                write_whole(self.path / OPTIONS, (json.dumps(options, indent=2) + "\n").encode(), durable=True)
            self._lock = _locked(self.path / OPTIONS)
            self._sweep()
            self._load()
        except OSError as error:
            self.close()
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"cannot write {path}: {error.strerror or error}; {REMEDY}") from error

    def commit(self, part: str, data: bytes, rows: Iterable[Row]) -> None:
        """Add a file of faces and the rows in it, both or neither. OutputError if that fails."""
        write_whole(self.path / FACES / part, data, durable=True, remedy=REMEDY)
        self._take(rows)

    def keep(self, name: str, data: bytes) -> None:
        """Keep a piece until the others of its file are there. OutputError if that fails."""
        (self.path / PIECES).mkdir(exist_ok=True)
        write_whole(self.path / PIECES / name, data, remedy=REMEDY)

    def kept(self, name: str) -> Table | None:
        """A piece that was kept, perhaps by an earlier run; None if it is not there or not whole."""
        with suppress(OSError, ValueError, KeyError):
            return decoded(self.path / PIECES / name)
        return None

    def drop(self, name: str) -> None:
        """Remove a piece that is no longer needed."""
        (self.path / PIECES / name).unlink(missing_ok=True)

    def save_index(self) -> None:
        """Write the index of all that is done. OutputError if that fails."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        out = pa.BufferOutputStream()
        pq.write_table(index_table(list(self.rows.values())), out, compression=COMPRESSION)
        write_whole(self.path / INDEX, out.getvalue().to_pybytes(), durable=True, remedy=REMEDY)

    def tidy(self) -> None:
        """Remove the pieces, when nothing is left to do."""
        shutil.rmtree(self.path / PIECES, ignore_errors=True)

    def close(self) -> None:
        """Let another process write."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def _take(self, rows: Iterable[Row]) -> None:
        """Add rows; a failure never takes the place of a success."""
        for row in rows:
            before = self.rows.get(row.input)
            if before is None or before.state != DONE or row.state == DONE:
                self.rows[row.input] = row

    def _load(self) -> None:
        """Find the rows of all inputs that were read: of the index, and of files that it does not know yet."""
        import pyarrow.parquet as pq

        there = {entry.name for entry in os.scandir(self.path / FACES)}
        indexed: list[Row] = []
        if (self.path / INDEX).exists():
            with suppress(OSError, ValueError, TypeError):  # it can be made anew from the files
                indexed = rows_of_index(pq.read_table(self.path / INDEX))
        self._take(row for row in indexed if row.part in there)
        # A part with a failure may have been written anew since.
        failed = {row.part for row in indexed if row.state != DONE}
        for part in sorted(there - ({row.part for row in indexed} - failed)):
            try:
                self._take(rows_in(self.path / FACES / part))
            except (OSError, ValueError) as error:
                raise OutputError(
                    f"{self.path / FACES / part} is not a whole file of fer-batch ({error}); remove it, and start again"
                ) from error

    def _sweep(self) -> None:
        """Remove what a killed run left half-written."""
        for folder in (self.path, self.path / FACES, self.path / PIECES):
            for left in folder.iterdir() if folder.is_dir() else ():
                if LEFT.fullmatch(left.name):
                    left.unlink()


def _locked(path: Path) -> BinaryIO:
    """The file, open and locked until it is closed, or the process ends. OutputError if another process has it."""
    file = path.open("rb")
    with suppress(ImportError):  # Windows
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise OutputError(f"another fer-batch writes into {path.parent}; wait for it, or stop it") from error
        except OSError:  # some network drives have no locks
            pass
    return file


def _told(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 40 else f"{text[:36]}..."
