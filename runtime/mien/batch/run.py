"""The driver of a run: gives pieces to workers, and writes what comes back, each part whole or not at all."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mien.batch.folder import PIECES, Folder
from mien.batch.inputs import Input
from mien.batch.pieces import Piece, Result, plan
from mien.batch.rows import DIED, FAILED, Row, failed_row, new_row
from mien.batch.segments import join
from mien.batch.settings import Model
from mien.batch.tables import Table, decoded, encoded, joined
from mien.sinks.parquet import face_schema

SAVE_S = 300.0
"""How often the index is written during a run. Without it, a run that goes on reads it from the files of faces."""
MAX_DEATHS = 2
"""An input over which so many workers died counts as failed."""


class Workers(Protocol):
    """What reads the pieces."""

    @property
    def told(self) -> str:
        """What they are, in words."""
        ...

    def run(self, queue: deque[Piece]) -> Iterator[tuple[Piece, Result | None]]:
        """Each piece of ``queue`` with its result, in any order; None if its worker died. May leave pieces that are
        added meanwhile."""
        ...

    def close(self) -> None:
        """End them."""
        ...


@dataclass
class Progress:
    """What is told of a run after each piece. ``weight``: of what is done, in bytes, of ``total``."""

    inputs: int
    total: float
    done: int = 0
    failed: int = 0
    weight: float = 0.0


class Run:
    """A run over inputs, of which those that a folder has already are left out.

    Attributes:
        progress: How far it is.
        changed: Names of inputs that have changed since they were read; they are left as they are.
        skipped: Number of inputs that were read by earlier runs.
    """

    def __init__(self, folder: Folder, model: Model, inputs: Sequence[Input], *, retry: bool = False):
        """``retry``: read the inputs that failed once more."""
        self._folder, self._model = folder, model
        known = {name: row for name, row in folder.rows.items() if not (retry and row.state == FAILED)}
        self.changed = [item.name for item in inputs if item.name in known and _differs(item, known[item.name])]
        todo = [item for item in inputs if item.name not in known]
        self.skipped = len(inputs) - len(todo)
        self._queue = deque(plan(todo))
        self._there: dict[str, set[int]] = {}
        """Numbers of the pieces that are there, of parts of which others are not."""
        self.progress = Progress(len(todo), sum(piece.weight for piece in self._queue))

    @property
    def pieces(self) -> int:
        """How many pieces are left to be given to workers."""
        return len(self._queue)

    def work(self, workers: Workers, tell: Callable[[Progress], object] = lambda _: None) -> None:
        """Read everything. Whatever ends it, what was done until then is in the folder.

        Raises:
            OutputError: The results cannot be written, for example as the disk is full.
            MienError: The workers cannot load the model, or are lost altogether.
        """
        saved = time.monotonic()
        try:
            while self._queue:
                for piece, result in workers.run(self._queue):
                    self._take(piece, result)
                    tell(self.progress)
                    if time.monotonic() - saved > SAVE_S:
                        self._folder.save_index()
                        saved = time.monotonic()
            self._folder.tidy()
        finally:
            self._folder.save_index()

    def _take(self, piece: Piece, result: Result | None) -> None:
        if result is None:
            piece = replace(piece, deaths=piece.deaths + 1)
            if len(piece.inputs) > 1:
                self._queue.extend(piece.singly())
                return
            if piece.deaths < MAX_DEATHS:
                self._queue.append(piece)
                return
            result = self._died(piece)
        if result.cut:
            self._cut(piece, result.cut)
        elif piece.count == 1:
            self.progress.weight += piece.weight
            self._commit(piece.part, result.data, result.rows)
        else:
            self._folder.keep(piece.name, result.data)
            self._arrived(piece)

    def _cut(self, piece: Piece, count: int) -> None:
        """Put the segments of a video into the queue, before all else; those of an earlier run are there already."""
        for segment in reversed(piece.cut(count)):
            kept = self._folder.kept(segment.name)
            if kept and kept.rows[0].version == piece.inputs[0].version and kept.rows[0].state != FAILED:
                self._arrived(segment)
            else:
                self._queue.appendleft(segment)

    def _arrived(self, piece: Piece) -> None:
        """Note a piece that is kept, and join the part when all of its pieces are."""
        there = self._there.setdefault(piece.part, set())
        there.add(piece.number)
        self.progress.weight += piece.weight
        if len(there) < piece.count:
            return
        del self._there[piece.part]
        names = [replace(piece, number=number).name for number in range(piece.count)]
        tables = [decoded(self._folder.path / PIECES / name) for name in names]
        if piece.segment:
            whole = join(tables)
        else:
            whole = Table(joined([table.faces for table in tables]), [table.rows[0] for table in tables])
        if whole is None:  # its segments do not fit, so it is read in one
            self.progress.weight -= piece.weight * piece.count
            self._queue.appendleft(Piece(piece.part, piece.inputs, whole=True))
        else:
            self._commit(piece.part, encoded(whole), whole.rows)
        for name in names:
            self._folder.drop(name)

    def _commit(self, part: str, data: bytes, rows: Sequence[Row]) -> None:
        self._folder.commit(part, data, rows)
        self.progress.done += len(rows)
        self.progress.failed += sum(row.state == FAILED for row in rows)

    def _died(self, piece: Piece) -> Result:
        """The result of an input over which workers died."""
        row = failed_row(new_row(piece.inputs[0], piece.part, self._model.name), DIED)
        table = Table(face_schema(self._model.labels).empty_table(), [row])
        return Result(encoded(table), table.rows)


def _differs(item: Input, row: Row) -> bool:
    return bool(item.version and row.version and (item.version, item.size) != (row.version, row.size))
