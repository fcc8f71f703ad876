"""What has threads of its own, such as a pool or an engine: made in each process that uses it.

A fork copies the memory and not the threads: whoever waits for one of them in the child waits for ever, at work and at
exit.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
NO_FORK = (
    "does not survive a fork, as CUDA does not; make the recognizer in each process, or start processes by "
    "multiprocessing's method 'spawn'"
)
"""What is wrong with a GPU's engine in a forked process."""


class PerProcess(Generic[T]):
    """The value that ``make`` gives, made at once, and anew when a forked process first asks.

    A pickle holds ``make``, so the value is made anew there too; copies share it.
    """

    def __init__(self, make: Callable[[], T]):
        self._make = make
        self._value, self._process = make(), os.getpid()
        _MADE.add(self)

    def __call__(self) -> T:
        if self._process != os.getpid():
            self._value, self._process = self._make(), os.getpid()
        return self._value

    def __reduce__(self) -> tuple[type[PerProcess[T]], tuple[Callable[[], T]]]:
        return PerProcess, (self._make,)

    def __copy__(self) -> PerProcess[T]:
        return self

    def __deepcopy__(self, _: Any) -> PerProcess[T]:
        return self

    def leave(self) -> None:
        """Never let go of the value: its end would wait for threads that a fork did not copy."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._value))


_MADE: weakref.WeakSet[PerProcess[Any]] = weakref.WeakSet()


def _leave_all() -> None:
    for made in list(_MADE):
        made.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)
