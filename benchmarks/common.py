"""What all benchmarks share: where results lie, options, what a report begins with, and work that is timed in turn."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import cv2

from mien.engines.cores import processor

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
TEST_SETS = ("rafdb/test", "ferplus/test", "affectnet-subset/test")
"""The data sets' held-out faces of single expressions."""

K = TypeVar("K")


def command_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser whose ``prog`` is the command, ``python -m benchmarks.<module>``; ``description`` keeps its lines."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_data(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--data``, a Path; the environment variable MIEN_DATA stands in for it."""
    known = os.environ.get("MIEN_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(known) if known else None,
        required=required and not known,
        help="folder of the data sets (default: MIEN_DATA)",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="default", help="name or folder of a bundle (default: the packaged one)")


def add_clip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=Path, metavar="CLIP", help="a video of one face")


def add_out(parser: argparse.ArgumentParser, name: str) -> None:
    """``--out``, the Path of the report; in RESULTS unless given."""
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=RESULTS / name,
        help=f"the report; plots lie beside it (default: benchmarks/results/{name})",
    )


def heading(command: str, *packages: str) -> dict[str, Any]:
    """What a report begins with: the command, and the date, machine and versions by which it gave what it gave."""
    return {
        "command": command,
        "date": date.today().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "versions": versions("mien", "numpy", *packages),
    }


def versions(*packages: str) -> dict[str, str]:
    """Of Python, OpenCV and those of ``packages`` that are installed."""
    found = {"python": platform.python_version(), "opencv": cv2.__version__}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def in_turn(
    works: Mapping[K, Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = 1,
    pause: float = 0.0,
    rotate: bool = False,
) -> dict[K, list[float]]:
    """Seconds of each call of each work, ``rounds`` of them after ``warm_up`` that do not count.

    Each round calls every work once, so that a machine that grows warm or busy slows all of them alike. A ``pause`` in
    seconds before each call keeps the engines' threads, which spin for a while after theirs, out of the next one's
    time. ``rotate``: each round begins one work later, so that none always follows the same other.
    """
    order = list(works)
    seconds: dict[K, list[float]] = {key: [] for key in works}
    for number in range(warm_up + rounds):
        first = number % len(order) if rotate else 0
        for key in order[first:] + order[:first]:
            time.sleep(pause)
            start = time.perf_counter()
            works[key]()
            taken = time.perf_counter() - start
            if number >= warm_up:
                seconds[key].append(taken)
    return seconds
