"""Several cameras in one process, against a process for each, and against one after the other.

    python -m benchmarks.speed.cameras FACES/clips/pexels_crying_to_smiling.mp4

The clip stands for each camera. All ways read whole clips to JSON lines in turn, in processes that stay loaded; told
are medians and ratios of medians. Then the clips are played at their own speed, as cameras, of which frames are
dropped: frames a second of all, and how long a frame takes from when it is taken to its written results. Memory is
what Linux counts for each process with its share of what several use (Pss). Calls of several crops against calls of
one say what sharing them can gain. Writes ``benchmarks/results/cameras.json``. For Linux.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT, add_clip, add_out, command_parser, heading, in_turn, write_report
from mien import Recognizer
from mien.sinks.records import JsonLines
from mien.sources.factory import open_source
from mien.sources.several import open_all
from mien.sources.video import quiet_opencv
from mien.streams import StreamFrame, Streams, stream_for

AT_ONCE, SEPARATE, ONE_BY_ONE = "at once", "a process each", "one after the other"
Told = dict[str, Any]


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], sys.argv[3])
        return
    parser = command_parser("speed.cameras", __doc__)
    add_clip(parser)
    parser.add_argument("--cameras", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each way with cameras (default: 20)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    add_out(parser, "cameras.json")
    args = parser.parse_args()
    if min(args.cameras) < 2:
        parser.error("--cameras are numbers from 2; leave out 1")
    quiet_opencv()
    numbers = " ".join(map(str, args.cameras))
    command = f"{parser.prog} {args.clip.name} --cameras {numbers} --rounds {args.rounds} --seconds {args.seconds:g}"
    recognizer = Recognizer(device=args.device, precision=args.precision)
    report = {
        **heading(command, "onnxruntime", "openvino"),
        "engine": recognizer.engine,
        "milliseconds a face in a call of": calls(recognizer, args.rounds),
        "cameras": [measure(args.clip, count, args) for count in args.cameras],
    }
    print(json.dumps(report, indent=2))
    write_report(args.out, report)


def calls(recognizer: Recognizer, rounds: int) -> dict[str, float]:
    """By the number of crops in a call of the engine."""
    size, engine = recognizer.card.crop.size, recognizer._model.engine
    crops = np.random.default_rng(0).integers(0, 255, (16, size, size, 3), dtype=np.uint8)
    ways = {count: partial(engine.run, crops[:count]) for count in (1, 2, 4, 16)}
    taken = in_turn(ways, 20 * rounds, warm_up=5, rotate=True)
    return {str(count): round(1e3 * statistics.median(seconds) / count, 3) for count, seconds in taken.items()}


def measure(clip: Path, count: int, args: Any) -> Told:
    """All figures for so many cameras."""
    with ExitStack() as stack:

        def start(number: int = 1) -> list[Worker]:
            workers = [Worker(clip, args.device, args.precision) for _ in range(number)]
            for worker in workers:
                stack.callback(worker.close)
            return workers

        ways = {AT_ONCE: start(), SEPARATE: start(count), ONE_BY_ONE: start()}
        jobs = {way: {"way": way, "count": 1 if way == SEPARATE else count} for way in ways}
        frames: dict[str, int] = {}

        def run(way: str) -> None:
            frames[way] = sum(told["frames"] for told in ask(ways[way], jobs[way]))

        taken = in_turn({way: partial(run, way) for way in ways}, args.rounds)
        seconds = {way: statistics.median(values) for way, values in taken.items()}
        memory = {way: round(sum(worker.memory() for worker in workers)) for way, workers in ways.items()}
        live = {}
        for way in (AT_ONCE, SEPARATE):
            live[way] = as_cameras(ask(ways[way], jobs[way] | {"seconds": args.seconds}), args.seconds)
        (alone,) = ask(ways[ONE_BY_ONE], jobs[ONE_BY_ONE])
    return {
        "cameras": count,
        "frames": frames[AT_ONCE],
        "frames a second": {way: round(frames[way] / value, 1) for way, value in seconds.items()},
        f"{AT_ONCE} over {SEPARATE}": round(seconds[SEPARATE] / seconds[AT_ONCE], 3),
        f"{AT_ONCE} over {ONE_BY_ONE}": round(seconds[ONE_BY_ONE] / seconds[AT_ONCE], 3),
        "share of the engine in the work of a frame": round(alone["engine"] / alone["busy"], 3),
        "MiB": memory,
        "as cameras": live,
    }


def as_cameras(told: Sequence[Told], seconds: float) -> Told:
    latencies = [value for one in told for value in one["latencies"]]
    return {
        "frames a second": round(sum(one["frames"] for one in told) / seconds, 1),
        "frames dropped a second": round(sum(one["dropped"] for one in told) / seconds, 1),
        "latency in ms, median and 95 %": [round(1e3 * float(np.percentile(latencies, q)), 1) for q in (50, 95)],
    }


class Worker:
    """A process that has loaded the model, and reads the clip as often as it is asked to."""

    def __init__(self, clip: Path, device: str, precision: str):
        command = [sys.executable, "-m", "benchmarks.speed.cameras", "--worker", device, precision]
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT / "runtime"), os.environ.get("PYTHONPATH"))))}
        self._clip = str(clip.resolve())
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | paths
        )

    def begin(self, job: Told) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job | {"clip": self._clip}) + "\n")
        self._process.stdin.flush()

    def end(self) -> Told:
        assert self._process.stdout
        told: Told = json.loads(self._process.stdout.readline())
        return told

    def memory(self) -> float:
        """MiB, of what several processes use its share."""
        text = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss:\s*(\d+)", text, re.M)[1]) / 1024  # type: ignore[index]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def ask(workers: Sequence[Worker], job: Told) -> list[Told]:
    """The answers of all, which work at the same time."""
    for worker in workers:
        worker.begin(job)
    return [worker.end() for worker in workers]


def work(device: str, precision: str) -> None:
    """The worker: reads jobs from stdin, and answers each on stdout."""
    quiet_opencv()
    recognizer = Recognizer(device=device, precision=precision)
    for line in sys.stdin:
        job = json.loads(line)
        told = one_by_one(recognizer, job) if job["way"] == ONE_BY_ONE else at_once(recognizer, job)
        print(json.dumps(told), flush=True)


def at_once(recognizer: Recognizer, job: Told) -> Told:
    """As ``fer-run --source A --source B``; a single clip as ``fer-run A``."""
    seconds = job.get("seconds")
    if job["count"] == 1 and not seconds:
        return one_by_one(recognizer, job)
    sink, latencies = JsonLines(os.devnull), []
    opening = partial(open_source, job["clip"], loop=bool(seconds))
    sources = open_all({f"camera-{number}": opening for number in range(job["count"])})
    end = time.monotonic() + (seconds or float("inf"))

    with Streams(recognizer, sources) as streams:

        def take(seen: StreamFrame) -> None:
            start = time.perf_counter()
            sink.write(seen.frame, seen.faces)
            latencies.append(seen.seconds + time.perf_counter() - start)
            if time.monotonic() > end:
                streams.stop()

        streams.run(take)
    return {
        "frames": len(latencies),
        "latencies": latencies if seconds else [],
        "dropped": sum(source.dropped for source in sources.values()),
    }


def one_by_one(recognizer: Recognizer, job: Told) -> Told:
    """As ``fer-run A B``. Tells also the seconds of the engine and of all stages."""
    sink, frames = JsonLines(os.devnull), 0
    stages: Counter[str] = Counter()
    for _ in range(job["count"]):
        with open_source(job["clip"]) as source, stream_for(recognizer, source) as stream:
            for frame, faces in stream.read(source):
                sink.write(frame, faces)
                frames += 1
                stages.update(stream.timings)
    return {"frames": frames, "engine": stages["engine"], "busy": stages.total()}


if __name__ == "__main__":
    main()
