"""``fer-run`` on a looped clip as on a camera, for half an hour: memory, threads, open files, frames a second.

    python -m benchmarks.reliability.soak FACES/clips/pexels_crying_to_smiling.mp4 --minutes 30 --video

It writes JSON lines, CSV and a summary, with ``--video`` an annotated video too, and serves the live page, whose
picture and events a viewer opens and leaves again and again. Every 5 s the process is looked at from outside, and the
page's own count of frames is asked for. In the end it gets SIGTERM, and everything written is read. Growth is that of
the median memory of the last minute over the one that follows the first minute. For Linux. Writes
``benchmarks/results/soak.json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.common import add_clip, add_out, command_parser, heading, write_report

EVERY = 5.0
"""Seconds between two looks."""


@dataclass(frozen=True)
class Look:
    """At ``time`` s after the first frame: memory in KiB (all that is resident, and the part that is no file)."""

    time: float
    memory: int
    private: int
    threads: int
    files: int
    frames: int
    dropped: int
    cpu: float


def main() -> None:
    parser = command_parser("reliability.soak", __doc__)
    add_clip(parser)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--video", action="store_true", help="save an annotated video, too (some MB a minute)")
    parser.add_argument("--threads", type=int, help="of the model (default: all cores but one)")
    add_out(parser, "soak.json")
    args = parser.parse_args()
    command = f"{parser.prog} {args.clip.name} --minutes {args.minutes:g}{' --video' * args.video}"
    command += f" --threads {args.threads}" if args.threads else ""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        process, url = start(args, folder)
        try:
            looks, visits = watch(process.pid, url, 60 * args.minutes)
        finally:
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            ended = time.monotonic() - began
            process.kill()
            process.wait()
        errors = (folder / "stderr").read_text().splitlines()[1:]
        report = {
            **heading(command, "onnxruntime"),
            **figures(looks, float(cv2.VideoCapture(str(args.clip)).get(cv2.CAP_PROP_FPS))),
            "visits to the live page": visits,
            "exit code after SIGTERM, seconds": [process.returncode, round(ended, 2)],
            "lines on stderr": errors[:5],
            **written(folder, args.video),
            "a look a minute": [vars(look) for look in looks[:: round(60 / EVERY)]],
        }  # fmt: skip
    write_report(args.out, report)
    print(json.dumps({name: value for name, value in report.items() if name != "a look a minute"}, indent=2))


def start(args: argparse.Namespace, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The process, and the address of its live page."""
    command = [sys.executable, "-c", "from mien.cli import main; main()", "--source", str(args.clip), "--loop"]
    command += ["--json", str(folder / "out.jsonl"), "--csv", str(folder / "out.csv"), "--serve", "0"]
    command += ["--summary", str(folder / "summary.json"), "--quiet"]
    command += ["--save", str(folder / "out.mp4")] if args.video else []
    command += ["--threads", str(args.threads)] if args.threads else []
    log = folder / "stderr"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"http://\S+", log.read_text())
        if found and "mien_frames_total 0" not in (text := metrics(found[0])) and text:
            return process, found[0]
        time.sleep(0.1)
    process.kill()
    raise SystemExit(f"fer-run did not start: {log.read_text()}")


def watch(pid: int, url: str, seconds: float) -> tuple[list[Look], dict[str, int]]:
    """A look every EVERY s, while a viewer comes and goes."""
    leave, visits = threading.Event(), {"stream": 0, "events": 0, "bytes": 0}
    viewer = threading.Thread(target=visit, args=(url, leave, visits))
    viewer.start()
    looks = []
    began = time.monotonic()
    try:
        for turn in tqdm(range(int(seconds / EVERY) + 1), unit=" looks", disable=None):
            time.sleep(max(0.0, began + turn * EVERY - time.monotonic()))
            looks.append(look(pid, url, time.monotonic() - began))
    finally:
        leave.set()
        viewer.join()
    return looks, visits


def look(pid: int, url: str, at: float) -> Look:
    status = Path(f"/proc/{pid}/status").read_text()
    memory, private, threads = (
        int(re.search(rf"{name}:\s*(\d+)", status)[1])
        for name in ("VmRSS", "RssAnon", "Threads")  # type: ignore[index]
    )
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    text = metrics(url)
    frames, dropped = (
        int(re.search(rf"^mien_{name}_total (\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
        for name in ("frames", "frames_dropped")
    )
    return Look(round(at, 1), memory, private, threads, files, frames, dropped, (int(ticks[11]) + int(ticks[12])) / 100)


def metrics(url: str) -> str:
    with suppress(OSError), urllib.request.urlopen(f"{url}metrics", timeout=5) as answer:
        return str(answer.read().decode())
    return ""


def visit(url: str, leave: threading.Event, visits: dict[str, int]) -> None:
    """Some seconds at the picture, some at the events, a pause, and again; each leaves without a word."""
    rest = np.random.default_rng(0)
    while not leave.is_set():
        for name in ("stream", "events"):
            until = time.monotonic() + rest.uniform(1, 6)
            with suppress(OSError), urllib.request.urlopen(f"{url}{name}", timeout=5) as answer:
                visits[name] += 1
                while time.monotonic() < until and not leave.is_set() and (part := answer.read(4096)):
                    visits["bytes"] += len(part)
        leave.wait(rest.uniform(0, 8))


def figures(looks: Sequence[Look], fps: float) -> dict[str, Any]:
    total = looks[-1].time
    settled = 60.0 if total >= 240 else total / 4
    first = [one for one in looks if settled <= one.time <= 2 * settled]
    last = [one for one in looks if one.time >= total - settled]
    memory = [float(np.median([one.memory for one in part])) for part in (first, last)]
    private = [float(np.median([one.private for one in part])) for part in (first, last)]
    fifth = max(1, len(looks) // 5)
    rates = [rate(part) for part in (looks[: fifth + 1], looks[-fifth - 1 :])]
    return {
        "seconds, frames, frames dropped": [total, looks[-1].frames, looks[-1].dropped - looks[0].dropped],
        "MiB after the first minute and at the end": [round(value / 1024, 1) for value in memory],
        "growth of memory, %": round(100 * (memory[1] / memory[0] - 1), 2),
        "growth of memory without files, %": round(100 * (private[1] / private[0] - 1), 2),
        "frames a second of the clip, the first and the last fifth": [round(fps, 2), *rates],
        "threads after the first minute and at the end": [median(first, "threads"), median(last, "threads")],
        "open files after the first minute and at the end": [median(first, "files"), median(last, "files")],
        "cores in use": round((looks[-1].cpu - looks[0].cpu) / total, 2),
    }  # fmt: skip


def rate(looks: Sequence[Look]) -> float:
    return round((looks[-1].frames - looks[0].frames) / (looks[-1].time - looks[0].time), 2)


def median(looks: Sequence[Look], name: str) -> float:
    return float(np.median([getattr(one, name) for one in looks]))


def written(folder: Path, video: bool) -> dict[str, Any]:
    """What is wrong with the files, by being read to their ends."""
    lines = (folder / "out.jsonl").read_text().split("\n")
    for line in lines[:-1]:
        json.loads(line)
    with (folder / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    short = sum(None in row.values() or None in row for row in rows)
    summary = json.loads((folder / "summary.json").read_text())
    told: dict[str, Any] = {
        "JSON lines, CSV rows, readings of the summary": [len(lines) - 1, len(rows), summary["readings"]["faces"]],
        "lines and rows that are not whole": int(lines[-1] != "") + short,
        "the plot of the summary": (folder / "summary.png").is_file(),
        "tracks": len(summary["tracks"]) + (summary["others"] or {"tracks": 0})["tracks"],
    }
    if video:
        capture, count = cv2.VideoCapture(str(folder / "out.mp4")), 0
        while capture.grab():
            count += 1
        told["frames of the video"] = count
    expected = {"out.jsonl", "out.csv", "summary.json", "summary.png", "stderr"} | ({"out.mp4"} if video else set())
    told["other files"] = sorted({path.name for path in folder.iterdir()} - expected)
    return told


if __name__ == "__main__":
    main()
