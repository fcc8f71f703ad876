"""Objects with threads of their own, such as a pool or an engine: created separately in each process.

A fork copies the memory but not the threads, so waiting for one of them in the child would never end.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
NO_FORK = (
    "does not survive a fork, because CUDA does not; create the recognizer in each process, or start processes with "
    "multiprocessing's method 'spawn'"
)
"""The problem of a GPU engine in a forked process; the engine's name goes before it."""


class PerProcess(Generic[T]):
    """A value that ``make`` creates: at once, and again when a forked process first asks for it.

    A pickle holds ``make``, so unpickling creates the value again too; copies share it.
    """

    def __init__(self, make: Callable[[], T]):
        self._make = make
        self._value, self._process = make(), os.getpid()
        _INSTANCES.add(self)

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
        """Never destroy the value: its destructor would wait for threads that the fork did not copy."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._value))


_INSTANCES: weakref.WeakSet[PerProcess[Any]] = weakref.WeakSet()


def _leave_all() -> None:
    for instance in list(_INSTANCES):
        instance.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)
