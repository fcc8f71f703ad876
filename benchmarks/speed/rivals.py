"""How fast are other programs from a frame to its faces, how soon do they start, and what do they take?

    python -m benchmarks.speed.rivals
    python -m benchmarks.speed.rivals --rounds 3 --starts 1 --only fer

Frames of 640x360 with 1, 4 and 16 faces (a portrait, tiled), as pixels in memory. Each program runs in a process and an
environment of its own, with its own choice of threads, and is used as its documentation says; a process measures the
time from the pixels to its last face. All are called in turn with ours. First result: from the start of the process,
models and all, to its first answer. Peak memory: the largest resident set after all of it. Installed: all files of
the environment, without Python or Node themselves. Writes ``benchmarks/results/rivals_speed.json``, and with the
accuracies of ``benchmarks.accuracy.rivals`` a plot of both.
"""

from __future__ import annotations

import math
import statistics
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common import add_out, command_parser, heading, in_turn, write_report
from benchmarks.rivals.catalog import LEFT_OUT, OURS, RIVALS
from benchmarks.rivals.environments import Environment, NotHad, default_cache, environment
from benchmarks.rivals.plot import plot_report
from benchmarks.rivals.process import Running
from mien.sources.demo import demo_picture
from mien.types import Image

FACES = (1, 4, 16)
SIZE = (640, 360)
PAUSE_S = 0.05


def main() -> None:
    parser = command_parser("speed.rivals", __doc__)
    parser.add_argument("--only", nargs="*", choices=[name for name in RIVALS if name != OURS], default=None)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--starts", type=int, default=3, help="of which the median tells the first result")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder of the environments")
    add_out(parser, "rivals_speed.json")
    args = parser.parse_args()
    names = [name for name in RIVALS if name == OURS or not args.only or name in args.only]
    frames = {count: frame(count) for count in FACES}
    left_out, made = dict(LEFT_OUT), {}
    for name in names:
        try:
            made[name] = environment(name, args.cache)
        except NotHad as error:
            left_out[name] = str(error)
    rows = measured(made, frames, args.rounds, args.starts, left_out)
    command = f"{parser.prog} --rounds {args.rounds}"
    report = {**heading(command), "rounds": args.rounds, "rivals": rows, "left out": left_out}
    write_report(args.out, report)
    show(report)
    plot_report(args.out.parent)


def frame(count: int) -> Image:
    """uint8 BGR (360, 640, 3): as many faces as ``count``, each about half as high as its place in the grid."""
    portrait = cv2.imread(str(demo_picture()))
    assert portrait is not None
    face = portrait[:240, 103:343]  # a square around the face, twice as wide as it
    grid = math.ceil(math.sqrt(count))
    side = SIZE[1] // grid
    picture = np.full((SIZE[1], SIZE[0], 3), 127, np.uint8)
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    for k in range(count):
        top, left = k // grid * side, k % grid * (SIZE[0] // grid) + (SIZE[0] // grid - side) // 2
        picture[top : top + side, left : left + side] = small
    return picture


def measured(
    made: dict[str, Environment], frames: dict[int, Image], rounds: int, starts: int, left_out: dict[str, str]
) -> dict[str, Any]:
    """Of each program that runs; why others do not goes into ``left_out``."""
    running: dict[str, Running] = {}
    first: dict[str, list[float]] = {name: [] for name in made}
    with ExitStack() as stack:
        for start in range(starts):
            for name in [name for name in made if name not in left_out]:
                try:
                    one = Running(name, made[name], frames[1])
                except NotHad as error:
                    left_out[name] = str(error)
                    continue
                first[name].append(one.first_s)
                if start < starts - 1:
                    one.close()
                else:
                    running[name] = stack.enter_context(one)
        cases: dict[str, dict[str, Any]] = {name: {} for name in running}
        for count, picture in frames.items():
            found = asked(running, picture, rounds)
            ours = found[OURS][1]
            for name, (faces, seconds) in found.items():
                told = {"found": faces, "ms": round(1000 * seconds, 2), "over ours": round(seconds / ours, 2)}
                cases[name][str(count)] = told
        return {
            name: {
                "how": RIVALS[name].how,
                "frames by faces": cases[name],
                "first result, s": round(statistics.median(first[name]), 2),
                "peak memory, MB": one.peak_mb(),
                "installed, MB": made[name].megabytes,
            }
            for name, one in running.items()
        }


def asked(running: dict[str, Running], picture: Image, rounds: int) -> dict[str, tuple[int, float]]:
    """How many faces each found, and the median of its seconds; all in turn."""
    answers: dict[str, list[tuple[int, float]]] = {name: [] for name in running}

    def ask(name: str) -> None:
        faces, seconds = running[name].ask(picture)
        answers[name].append((len(faces), seconds))

    in_turn({name: partial(ask, name) for name in running}, rounds, pause=PAUSE_S, rotate=True)
    return {
        name: (values[-1][0], statistics.median(seconds for _, seconds in values[-rounds:]))
        for name, values in answers.items()
    }


def show(report: dict[str, Any]) -> None:
    for name, row in report["rivals"].items():
        cells = "  ".join(
            f"{count} faces: {case['ms']:.1f} ms ({case['found']} found, {case['over ours']:.1f} x)"
            for count, case in row["frames by faces"].items()
        )
        rest = "  ".join(f"{key} {row[key]}" for key in ("first result, s", "peak memory, MB", "installed, MB"))
        print(f"{name:22}{cells}  {rest}")


if __name__ == "__main__":
    main()
