"""Workers as actors of a Ray cluster, to which Ray Data hands the pieces."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections import deque
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np

from mien.batch.pieces import Piece, Result
from mien.batch.reader import Reader
from mien.batch.settings import Model
from mien.errors import EngineUnavailable, InputError, LibraryBroken

HERE, JOIN = "here", "auto"
"""In place of an address: start a cluster on this machine, or join the one that the environment names."""
CONNECT_S = 5.0
"""How long the head of a cluster may take to answer at its port."""
IN_FLIGHT = 1
"""Pieces that an actor holds. One that dies must not take others with it, which would count as tried."""


class Cluster:
    """Workers on a Ray cluster. The cluster must have the same mien, and see the inputs under the same names."""

    def __init__(
        self,
        model: Model,
        address: str,
        workers: int | None = None,
        gpus: float = 0.0,
        make: Callable[[Model], Reader] = Reader,
    ):
        """Start a cluster, or join one.

        Args:
            model: What the workers read with.
            address: ``here``, ``auto``, ``host:port`` or ``ray://host:port``.
            workers: Number of workers; None for as many as the cluster has cores, or shares of GPUs.
            gpus: GPUs of each worker, also a part of one.
            make: What makes the reader of a worker.

        Raises:
            LibraryBroken: Ray is not installed.
            InputError: The address is none, or asks for more than the cluster has.
            EngineUnavailable: The cluster cannot be reached, or its mien is another.
        """
        self._model, self._gpus, self._make = model, gpus, make
        self._ray = _ray()
        self._address = address
        self._connect(address)
        try:
            self._check_versions()
            has = self._ray.cluster_resources()
            most = int(has.get("GPU", 0) / gpus + 1e-9) if gpus else int(has.get("CPU", 1))
            if most < 1 or (workers or 1) > most:
                raise InputError(
                    f"the cluster has {has.get('CPU', 0):g} cores and {has.get('GPU', 0):g} GPUs, which is room for "
                    f"{most} workers, not for {workers or 1}; ask for fewer, or for a smaller share of a GPU each"
                )
            self.count = workers or most
        except BaseException:
            self.close()
            raise

    @property
    def told(self) -> str:
        """What runs the work, in words."""
        return f"{self.count} worker{'s' * (self.count != 1)} of {self.where}"

    @property
    def where(self) -> str:
        """The cluster in words."""
        return "a Ray cluster on this machine" if self._address == HERE else f"the Ray cluster {self._address}"

    def run(self, queue: deque[Piece]) -> Iterator[tuple[Piece, Result | None]]:
        """Each piece that is in ``queue`` now with its result; None if its worker died. Pieces that are added meanwhile
        stay there for the next call."""
        data = self._ray.data
        waiting = dict(enumerate(queue))
        queue.clear()
        data.DataContext.get_current().enable_progress_bars = False
        begun = self._ray.remote(num_cpus=0)(_Begun).remote()
        pieces = data.from_items(
            [{"number": number, "piece": pickle.dumps(piece)} for number, piece in waiting.items()],
            override_num_blocks=len(waiting),
        )
        count = min(self.count, len(waiting))
        results = pieces.map_batches(
            _Actor,
            fn_constructor_args=(self._model, self._make, begun),
            batch_size=1,
            batch_format="numpy",
            compute=data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=IN_FLIGHT),
            num_cpus=0 if self._gpus else 1,
            num_gpus=self._gpus or None,
        )
        rows = iter(results.iter_rows())
        while waiting:
            try:
                row = next(rows)
            except self._ray.exceptions.RayError as error:
                raise EngineUnavailable(
                    f"{self.told} cannot go on ({_last_line(error)}); mend it, and start the same command again"
                ) from error
            piece = waiting.pop(int(row["number"]), None)
            if piece:  # Ray may compute a result that it lost once more
                yield piece, pickle.loads(row["result"])

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        self._ray.shutdown()

    def _connect(self, address: str) -> None:
        host, port = _host(address)
        told = "start one with: ray start --head, or give its address as host:port"
        if host:
            try:
                socket.create_connection((host, port), CONNECT_S).close()
            except OSError as error:
                raise EngineUnavailable(
                    f"no Ray cluster answers at {address} ({error.strerror or error}); check the address, or {told}"
                ) from error
        started = {"address": "local", "include_dashboard": False} if address == HERE else {"address": address}
        try:
            self._ray.init(**started, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EngineUnavailable(f"cannot join the Ray cluster {address}: {words}; {told}") from error

    def _check_versions(self) -> None:
        """EngineUnavailable if a worker would run another mien, whose results would be others."""
        here = version("mien")
        try:
            there = self._ray.get(self._ray.remote(num_cpus=0)(_version).remote(), timeout=60)
        except Exception as error:  # mien is missing there, or nothing runs
            raise EngineUnavailable(
                f"{self.where} cannot run mien ({_last_line(error)}); install mien {here} on its machines"
            ) from error
        if there != here:
            raise EngineUnavailable(f"{self.where} has mien {there}, and this machine {here}; install the same on both")


class _Actor:
    """A worker: holds one recognizer for all of its pieces."""

    def __init__(self, model: Model, make: Callable[[Model], Reader], begun: Any):
        self._reader, self._begun = make(model), begun

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        import ray

        number = int(batch["number"][0])
        first = ray.get(self._begun.note.remote(number))
        result = self._reader(pickle.loads(batch["piece"][0])) if first else None
        return {"number": [number], "result": [pickle.dumps(result)]}


class _Begun:
    """An actor that knows which pieces were begun. When a worker dies, Ray gives its piece to another, for ever; here
    the driver decides what becomes of it."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()

    def note(self, number: int) -> bool:
        """Whether a piece is begun for the first time."""
        first = number not in self._numbers
        self._numbers.add(number)
        return first


def check_address(address: str) -> str:
    """The address of a cluster. InputError if it is none."""
    if address not in (HERE, JOIN) and not _host(address)[0]:
        raise InputError(f"{address!r} is no address of a Ray cluster; use auto, host:port or ray://host:port")
    return address


def _host(address: str) -> tuple[str, int]:
    """Host and port of an address; an empty host if it names none."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in (HERE, JOIN) or not host or "/" in host or not port.isascii() or not port.isdigit():
        return "", 0
    return host.strip("[]"), min(int(port), 65535)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _version() -> str:
    from importlib.metadata import version

    return version("mien")


def _ray() -> Any:
    # Ray sends figures of use unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise LibraryBroken(f'a Ray cluster needs Ray ({error}); run: pip install "mien[ray]"') from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return ray
