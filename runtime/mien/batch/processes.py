"""Workers as processes of this machine, one core each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext

from mien.batch.pieces import Piece, Result
from mien.batch.reader import Reader
from mien.batch.settings import Model
from mien.errors import MienError

WORDS = {"OPENCV_FFMPEG_CAPTURE_OPTIONS": "threads;1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Of the environment of a worker, unless they are set: libraries would start a thread a core in each of them."""
END_S = 5.0
"""How long a worker that was told to end may take."""


class Processes:
    """As many workers as were asked for. One that dies is replaced, and its piece is given back."""

    def __init__(self, model: Model, count: int, make: Callable[[Model], Reader] = Reader):
        """``make``: what makes the reader of a worker, in its process."""
        self.count = count
        self._start = partial(_work, model=model, make=make)
        self._context = multiprocessing.get_context("spawn")  # a fork would share threads and engines
        self._idle: list[_Worker] = []
        self._busy: dict[object, _Worker] = {}

    @property
    def told(self) -> str:
        """What runs the work, in words."""
        return f"{self.count} process{'es' * (self.count != 1)}"

    def run(self, queue: deque[Piece]) -> Iterator[tuple[Piece, Result | None]]:
        """Each piece of ``queue`` with its result, as they are done; None if its worker died. Pieces may be added
        meanwhile.

        Raises:
            MienError: A worker cannot load the model.
        """
        while queue or self._busy:
            while queue and len(self._busy) < self.count:
                worker = self._idle.pop() if self._idle else _Worker(self._context, self._start)
                self._busy[worker.pipe] = worker
                worker.give(queue.popleft())
            for pipe in wait([worker.pipe for worker in self._busy.values()]):
                worker = self._busy.pop(pipe)
                piece, answer = worker.piece, worker.answer()
                if isinstance(answer, Exception):
                    raise answer
                if answer is None:
                    worker.kill()
                else:
                    self._idle.append(worker)
                yield piece, answer

    def close(self) -> None:
        """End all workers: those that wait at once, those that read without an answer."""
        workers = [*self._idle, *self._busy.values()]
        for worker in workers:
            worker.kill()
        self._idle, self._busy = [], {}


class _Worker:
    piece: Piece

    def __init__(self, context: SpawnContext, work: Callable[[Connection], None]):
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs,), name="mien worker", daemon=True)
        with _environment():
            self._process.start()
        theirs.close()

    def give(self, piece: Piece) -> None:
        self.piece = piece
        with suppress(OSError):  # it died while it waited, which its answer will show
            self.pipe.send(piece)

    def answer(self) -> Result | Exception | None:
        try:
            answer: Result | Exception = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._process.join(END_S)
        self.pipe.close()


@contextmanager
def _environment() -> Iterator[None]:
    """Within the context, ``WORDS`` are set where they were not, for the processes that are started."""
    added = {name: value for name, value in WORDS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _work(pipe: Connection, model: Model, make: Callable[[Model], Reader]) -> None:
    """What a worker does until its pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the driver decides
    threading.Thread(target=_end_with_driver, name="mien end", daemon=True).start()
    with suppress(EOFError, OSError):
        try:
            reader = make(model)
        except MienError as error:
            pipe.recv()
            pipe.send(error)
            return
        while True:
            pipe.send(reader(pipe.recv()))


def _end_with_driver() -> None:
    """A worker must not outlive its driver, not even one that was killed."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
