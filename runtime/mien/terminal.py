"""Programs in a terminal: how they begin and end, and what they print, also where a stream is closed or full."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from tqdm import tqdm

from mien.errors import MienError, OutputError
from mien.paths import READABLE

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All but tabs and ends of lines."""
LEFT: list[threading.Thread] = []
"""Threads that were left to themselves. One may be inside of native code, which does not outlive Python's shutdown."""


def entry(program: str, work: Callable[[], int]) -> NoReturn:
    """Leave the process with the exit code that ``work`` returns; what it raises is told in words.

    A reader of stdout that leaves, as in ``fer-run --json - talk.mp4 | head``, has what it wanted: exit code 0.
    """
    open_streams()
    try:
        code = work()
        if not code:
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        code = 0
    except MienError as error:
        code = failed(program, error)
    except OSError as error:  # what was printed comes out only now
        code = failed(program, _unwritable(error))
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # Python would try again, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if any(thread.is_alive() for thread in LEFT):
        os._exit(code)
    sys.exit(code)


def failed(program: str, error: MienError) -> int:
    """Tell ``error`` on stderr. Returns the exit code 1."""
    tell(f"{program}: error: {error}")
    return 1


def say(text: str) -> None:
    """A line or more on stdout, above a progress bar. OutputError where that cannot be written; but BrokenPipeError
    comes out as it is."""
    try:
        tqdm.write(_plain(text), file=sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(error) from error


def tell(text: str) -> None:
    """The same on stderr. Where nobody can read it, that is no reason to fail."""
    with suppress(OSError, ValueError):
        tqdm.write(_plain(text), file=sys.stderr)
        sys.stderr.flush()


def open_streams() -> None:
    """Make stdin, stdout and stderr usable: what is closed is opened on nothing, and text that an encoding lacks is
    written as escapes.

    A closed descriptor would be given to the next file that is opened, and get what is printed. What is written to a
    closed stdout fails, as for any program.
    """
    for number, name, way in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is not None:
            continue
        with suppress(OSError):
            os.fstat(number)
            continue
        if os.open(os.devnull, way) == number:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # one that is no text stream of Python's own
            stream.reconfigure(errors=READABLE)  # type: ignore[union-attr]


def _plain(text: str) -> str:
    """Without what would steer a terminal: names of files and words of servers may hold anything."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _unwritable(error: OSError) -> OutputError:
    if error.errno == errno.EBADF:
        return OutputError("cannot write to stdout, which is closed; open it, or send it elsewhere")
    return OutputError(f"cannot write to stdout: {error.strerror or error}; free some space, or send it elsewhere")
