"""Programs in a terminal: how they start and end, and how they print, even if a stream is closed or a disk is full."""

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
"""All control characters except tabs and line ends."""
ABANDONED: list[threading.Thread] = []
"""Threads that nobody waits for. One may be in native code, which would crash when Python shuts down."""


def entry(program: str, work: Callable[[], int]) -> NoReturn:
    """Run ``work`` and leave the process with the exit code that it returns; errors become messages on stderr.

    If the reader of stdout goes away, as in ``fer-run --json - talk.mp4 | head``, the exit code is 0.
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
    except OSError as error:  # from flushing what was printed before
        code = failed(program, _unwritable(error))
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # otherwise Python would try again at exit, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if any(thread.is_alive() for thread in ABANDONED):
        os._exit(code)
    sys.exit(code)


def failed(program: str, error: MienError) -> int:
    """Print ``error`` on stderr. Returns the exit code 1."""
    tell(f"{program}: error: {error}")
    return 1


def say(text: str) -> None:
    """Print one or more lines on stdout, above any progress bar. OutputError if that fails; but a BrokenPipeError comes
    out unchanged."""
    try:
        tqdm.write(_plain(text), file=sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(error) from error


def tell(text: str) -> None:
    """Print on stderr, above any progress bar. If stderr is closed, the text is lost silently."""
    with suppress(OSError, ValueError):
        tqdm.write(_plain(text), file=sys.stderr)
        sys.stderr.flush()


def open_streams() -> None:
    """Make stdin, stdout and stderr usable: closed ones are opened on the null device, and characters that an encoding
    lacks are written as escapes.

    Otherwise the next file that is opened would get the closed descriptor, and everything that is printed. Writing to
    a closed stdout still fails, as for any program.
    """
    for number, name, mode in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is not None:
            continue
        with suppress(OSError):
            os.fstat(number)
            continue
        if os.open(os.devnull, mode) == number:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # it may not be one of Python's own text streams
            stream.reconfigure(errors=READABLE)  # type: ignore[union-attr]


def _plain(text: str) -> str:
    """``text`` without control sequences for the terminal: file names and messages of servers may contain anything."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _unwritable(error: OSError) -> OutputError:
    if error.errno == errno.EBADF:
        return OutputError("cannot write to stdout, which is closed; open it, or redirect it")
    return OutputError(f"cannot write to stdout: {error.strerror or error}; free some space, or redirect it")
