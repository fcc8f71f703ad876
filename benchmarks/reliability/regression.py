"""Whether this tree is slower than an earlier commit: both take turns, each in a process of its own.

    python -m benchmarks.reliability.regression 6148362 FACES/clips/pexels_crying_to_smiling.mp4

A turn reads the whole clip from decoding to JSON lines, and calls ``predict`` on one 640 x 360 frame a hundred times.
The earlier commit is checked out beside this one for the time. Medians of the turns' ratios. Writes
``benchmarks/results/regression.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT, add_clip, add_out, command_parser, heading, write_report
from benchmarks.speed.overhead import scene

CALLS = 100
WORKER = f"""
import json, os, sys, time
import numpy as np
from mien import Recognizer
try:
    from mien.sinks.records import JsonLines
    from mien.sources.factory import open_source
    from mien.sources.video import quiet_opencv
except ImportError:  # a commit from before these packages
    from mien.opening import open_source
    from mien.sinks import JsonLines
    from mien.video import quiet_opencv
quiet_opencv()
recognizer, frame, clip = Recognizer(device="cpu", precision=sys.argv[3]), np.load(sys.argv[2]), sys.argv[1]

def read():
    sink = JsonLines(os.devnull)
    with open_source(clip) as source, recognizer.stream() as stream:
        for shown, faces in stream.read(source):
            sink.write(shown, faces)
    sink.close()

def predict():
    for _ in range({CALLS}):
        recognizer.predict(frame)

for line in sys.stdin:
    start, worked = time.perf_counter(), time.process_time()
    {{"clip": read, "predict": predict}}[line.strip()]()
    print(json.dumps([time.perf_counter() - start, time.process_time() - worked]), flush=True)
"""
"""What both trees do. It imports nothing of this package, which knows this tree's mien alone."""


def main() -> None:
    parser = command_parser("reliability.regression", __doc__)
    parser.add_argument("commit")
    add_clip(parser)
    parser.add_argument(
        "--starts", type=int, default=6, help="of both processes: one may be a few percent off for good"
    )
    parser.add_argument("--turns", type=int, default=4, help="of each start, after one to warm up")
    parser.add_argument("--precision", default="fp32")
    add_out(parser, "regression.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", before, args.commit], check=True)
        try:
            shutil.copytree(ROOT / "runtime/mien/models/yunet", before / "runtime/mien/models/yunet")
            np.save(Path(folder) / "frame.npy", scene())
            figures = compare({"before": before, "now": ROOT}, Path(folder) / "frame.npy", args)
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", before], check=True)
    command = f"{parser.prog} {args.commit} {args.clip.name}"
    given = {"precision": args.precision, "starts": args.starts, "turns": args.turns}
    report = {**heading(command, "onnxruntime"), **given, **figures}
    print(json.dumps(report, indent=2))
    write_report(args.out, report)


def compare(trees: dict[str, Path], frame: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each, on the clock and of processors, and the ratios of now over before."""
    times: dict[str, dict[str, list[list[float]]]] = {w: {name: [] for name in trees} for w in ("clip", "predict")}
    for _ in range(args.starts):
        workers = {name: start(tree, frame, args) for name, tree in trees.items()}
        try:
            for turn in range(args.turns + 1):
                for what, of_trees in times.items():
                    for name in list(workers)[:: 1 if turn % 2 else -1]:
                        taken = ask(workers[name], what)
                        if turn:
                            of_trees[name].append(taken)
        finally:
            for worker in workers.values():
                worker.kill()
                worker.wait()
    return {what: ratios(of_trees["before"], of_trees["now"]) for what, of_trees in times.items()}


def ratios(before: list[list[float]], now: list[list[float]]) -> dict[str, dict[str, float]]:
    figures = {}
    for kind, name in enumerate(("seconds", "processor seconds")):
        old, new = ([turn[kind] for turn in turns] for turns in (before, now))
        figures[name] = {
            "before": round(statistics.median(old), 3),
            "now": round(statistics.median(new), 3),
            "now over before": round(statistics.median(b / a for a, b in zip(old, new, strict=True)), 3),
        }
    return figures


def start(tree: Path, frame: Path, args: argparse.Namespace) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(args.clip.resolve()), str(frame), args.precision]
    paths = {"PYTHONPATH": str(tree / "runtime")}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree, env=os.environ | paths
    )


def ask(worker: subprocess.Popen[str], what: str) -> list[float]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(what + "\n")
    worker.stdin.flush()
    taken: list[float] = json.loads(worker.stdout.readline())
    return taken


if __name__ == "__main__":
    main()
