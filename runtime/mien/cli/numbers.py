"""Numbers as options. Nothing here imports OpenCV: ``fer-doctor`` reads them, and starts where that does not."""

from __future__ import annotations

import argparse
import math

from mien.sources.privacy import without_secrets
from mien.validation import MAX_THREADS


def add_threads(group: argparse._ActionsContainer) -> None:
    """``--threads`` of every program that runs a model."""
    words = "threads of the model (default: all cores but one)"
    group.add_argument("--threads", metavar="N", type=_threads, help=words)


def whole(text: str, least: int, most: int, what: str) -> int:
    """Read an option, or end the program with a message that the option must be ``what``."""
    # isdigit alone also accepts characters such as ², which int does not.
    plain = text.isascii() and text.isdigit() and len(text) < 20
    if not plain or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{without_secrets(text)[:40]!r} is not {what}")
    return int(text)


def positive(text: str) -> int:
    """Read a whole number from 1, as an option."""
    return whole(text, 1, 2**63 - 1, "a whole number of at least 1")


def seconds(text: str) -> float:
    """Read a time in s, as an option."""
    return _number(text, 3600.0, "a number of seconds from 0 to 3600")


def probability(text: str) -> float:
    """Read a probability below 1, as an option."""
    return _number(text, math.nextafter(1.0, 0.0), "a probability from 0 to below 1")


def _number(text: str, most: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise argparse.ArgumentTypeError(f"{without_secrets(text)[:40]!r} is not {what}")
    return value


def _threads(text: str) -> int:
    return whole(text, 1, MAX_THREADS, f"a whole number from 1 to {MAX_THREADS}")
