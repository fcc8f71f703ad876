"""Runs of fer-batch in tests: workers of this process, and readers that are killed over some inputs."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from mien.batch.folder import Folder
from mien.batch.inputs import local_input
from mien.batch.pieces import Piece, Result
from mien.batch.reader import Reader
from mien.batch.run import Run, Workers
from mien.batch.settings import Model

DEADLY, ONCE = "deadly", "once"
"""In the name of an input: the worker that reads it is killed, always or the first time."""


class Here:
    """The work of a worker, in this process."""

    told = "this process"

    def __init__(self, model: Model):
        self._reader = Reader(model)
        self.read: list[Piece] = []

    def run(self, queue: deque[Piece]) -> Iterator[tuple[Piece, Result | None]]:
        while queue:
            piece = queue.popleft()
            self.read.append(piece)
            yield piece, self._reader(piece)

    def close(self) -> None:
        pass


class Mortal(Reader):
    """Kills its process as the system does when memory runs out."""

    def __call__(self, piece: Piece) -> Result:
        for item in piece.inputs:
            mark = Path(f"{item.place}.killed")
            if DEADLY in item.place or (ONCE in item.place and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(piece)


def run_here(path: Path, model: Model, files: Sequence[Path], *, retry: bool = False) -> Here:
    """Read ``files`` into the folder ``path``. Returns the worker, which knows what it read."""
    workers = Here(model)
    run_with(workers, path, model, files, retry=retry)
    return workers


def run_with(workers: Workers, path: Path, model: Model, files: Sequence[Path], *, retry: bool = False) -> Run:
    folder = Folder(str(path), model.told)
    try:
        task = Run(folder, model, [local_input(file) for file in files], retry=retry)
        task.work(workers)
    finally:
        folder.close()
        workers.close()
    return task


def content(path: Path) -> dict[str, bytes]:
    """All files of a folder of results, by name."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
