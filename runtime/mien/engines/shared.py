"""One engine for several threads: crops that wait at the same moment go through it in one call."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from mien.engines import Engine
from mien.types import Floats, Image


class _Request:
    """The crops of one caller, and what became of them."""

    def __init__(self, batch: Image):
        self.batch = batch
        self.outputs: Mapping[str, Floats] | None = None
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.outputs is not None or self.error is not None


class SharedEngine:
    """An engine whose ``run`` may be called from any number of threads, and runs one call at a time.

    There is no thread and no pause of its own. Whoever finds the engine idle runs it at once, with the crops of all who
    wait; those who come meanwhile wait for the next call. So a single camera pays nothing, and the busier the engine,
    the larger its batches.
    """

    def __init__(self, engine: Engine):
        self.name = engine.name
        self._engine = engine
        self._changed = threading.Condition()
        self._waiting: list[_Request] = []
        self._busy = False

    def run(self, batch: Image) -> Mapping[str, Floats]:
        """uint8 (N, H, W, 3) -> outputs by name. What the engine raises comes out at every caller in its call."""
        request = _Request(batch)
        with self._changed:
            self._waiting.append(request)
            self._changed.wait_for(lambda: request.done or not self._busy)
            requests: list[_Request] = []
            if not request.done:
                self._busy, requests, self._waiting = True, self._waiting, []
        if requests:
            try:
                self._serve(requests)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
        if request.error:
            raise request.error
        assert request.outputs is not None
        return request.outputs

    def _serve(self, requests: list[_Request]) -> None:
        try:
            if len(requests) == 1:
                requests[0].outputs = self._engine.run(requests[0].batch)
                return
            outputs = self._engine.run(np.concatenate([request.batch for request in requests]))
            ends = np.cumsum([len(request.batch) for request in requests])[:-1]
            parts = {name: np.split(values, ends) for name, values in outputs.items()}
            for number, request in enumerate(requests):
                request.outputs = {name: values[number] for name, values in parts.items()}
        except BaseException as error:
            for request in requests:
                request.error = error
            if not isinstance(error, Exception):
                raise
