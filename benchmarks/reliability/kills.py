"""SIGKILL at random moments while JSON lines, CSV and an annotated video are written: is all that was written whole?

    python -m benchmarks.reliability.kills FACES/clips/pexels_crying_to_smiling.mp4

The writer loops over the clip, with faces that the recognizer really found in it, through the sinks of ``fer-run``;
every fourth run is killed around the moment at which it closes its files. ``--command`` kills another program, as in
``--command 'fer-run --source {clip} --loop --json {json} --csv {csv} --save {video}'``.
"""

from __future__ import annotations

import argparse
import csv
import json
import pickle
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common import add_clip, add_out, command_parser, heading, write_report
from mien import Recognizer
from mien.drawing.faces import draw_faces
from mien.sinks.encoder import FLUSH_SECONDS
from mien.sinks.media import SaveVideo
from mien.sinks.records import Csv, JsonLines
from mien.types import Face, Frame

NAMES = ("out.jsonl", "out.csv", "out.mp4")
CLIP_FRAMES = 100


def main() -> None:
    parser = command_parser("reliability.kills", __doc__)
    add_clip(parser)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--longest", type=float, default=2.5, help="seconds of writing before the kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", help="what is killed instead of the writer")
    add_out(parser, "kills.json")
    parser.add_argument("--write", nargs=2, metavar=("FOLDER", "SECONDS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        write(args.clip, Path(args.write[0]), float(args.write[1]))
        return
    rng, found = random.Random(args.seed), Counter[str]()
    late: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not args.command:
            remember(args.clip, folder)
        start = time.monotonic()
        for number in range(args.runs):
            seconds = rng.uniform(0, args.longest)
            closes = not args.command and number % 4 == 3
            kill(command(args, folder, seconds if closes else 1e9), folder, seconds + closes * rng.uniform(-0.02, 0.08))
            late += check(folder, found)
            print(f"\r{number + 1} of {args.runs}: {dict(found)}", end="", file=sys.stderr, flush=True)
        took = time.monotonic() - start
    print(file=sys.stderr)
    report = {
        **heading(f"{parser.prog} {args.clip.name} --runs {args.runs}"),
        "kills": args.runs,
        "kills before the first frame": found["early"],
        "JSON lines": found["lines"],
        "JSON lines that are not whole": found["bad lines"],
        "CSV rows": found["rows"],
        "CSV rows that are not whole": found["bad rows"],
        "videos that do not play": found["bad videos"],
        "videos that miss a frame from before the last flush": found["short videos"],
        "seconds lost at the end of a video, median and most": [round(float(np.median(late)), 2), round(max(late), 2)],
        "seconds between flushes": FLUSH_SECONDS,
        "left-over files": found["left over"],
        "minutes": round(took / 60, 1),
    }
    if not args.command:
        write_report(args.out, report)
    for key, value in report.items():
        print(f"{key:<56} {value}")
    if any(found[key] for key in ("bad lines", "bad rows", "bad videos", "short videos")):
        raise SystemExit("not everything is whole")


def remember(clip: Path, folder: Path) -> None:
    """Keep the frames of the clip that have a face, with what is found there."""
    recognizer, capture = Recognizer(), cv2.VideoCapture(str(clip))
    kept: list[tuple[np.ndarray, list[Face]]] = []
    while len(kept) < CLIP_FRAMES:
        ok, image = capture.read()
        if not ok:
            break
        if faces := recognizer.predict(image):
            kept.append((image, [replace(face, track_id=i + 1) for i, face in enumerate(faces)]))
    if not kept:
        raise SystemExit(f"no face in {clip}")
    (folder / "faces.pickle").write_bytes(pickle.dumps((recognizer.labels, kept)))


def write(clip: Path, folder: Path, seconds: float) -> None:
    """The writer: the time of a frame is the time at which it is written."""
    labels, kept = pickle.loads((folder / "faces.pickle").read_bytes())
    lines, rows = JsonLines(str(folder / NAMES[0])), Csv(str(folder / NAMES[1]), labels)
    video = SaveVideo(folder / NAMES[2], fps=25.0, live=False)
    start, index = time.monotonic(), 0
    while (now := time.monotonic() - start) < seconds:
        image, faces = kept[index % len(kept)]
        frame = Frame(image, now, index, clip.name)
        lines.write(frame, faces)
        rows.write(frame, faces)
        video.write(replace(frame, image=draw_faces(image, faces)))
        index += 1
    for sink in (lines, rows, video):
        sink.close()


def command(args: argparse.Namespace, folder: Path, seconds: float) -> list[str]:
    if not args.command:
        return [
            sys.executable,
            "-m",
            "benchmarks.reliability.kills",
            str(args.clip),
            "--write",
            str(folder),
            str(seconds),
        ]
    places = dict(zip(("json", "csv", "video"), (folder / name for name in NAMES), strict=True))
    return [part.format(clip=args.clip, **places) for part in shlex.split(args.command)]


def kill(words: Sequence[str], folder: Path, seconds: float) -> None:
    """Start, wait for the first file, and kill after ``seconds`` more."""
    for path in folder.iterdir():
        if path.name != "faces.pickle":
            path.unlink()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (folder / NAMES[0]).exists():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise SystemExit(f"{shlex.join(words)} wrote nothing")
        time.sleep(0.002)
    time.sleep(max(0.0, seconds))
    process.kill()
    process.wait()


def check(folder: Path, found: Counter[str]) -> list[float]:
    """Count what is whole and what is not; the seconds that the video lacks at its end, where there is one."""
    lines = (folder / NAMES[0]).read_bytes().split(b"\n")
    records = [record for line in lines[:-1] if (record := whole(line))]
    found["lines"] += len(lines) - 1
    found["bad lines"] += len(lines) - 1 - len(records) + bool(lines[-1])
    text = (folder / NAMES[1]).read_text() if (folder / NAMES[1]).exists() else ""
    rows = list(csv.reader(text.splitlines()))
    found["rows"] += max(0, len(rows) - 1)
    found["bad rows"] += sum(len(row) != len(rows[0]) for row in rows) + (text[-1:] not in ("", "\n"))
    found["left over"] += sum(path.name not in (*NAMES, "faces.pickle") for path in folder.iterdir())
    # One record a face: the frames that were written, and when. The video may be one behind.
    times = list({record["frame"]: record["time"] for record in records}.values())[:-1]
    if not times:
        found["early"] += 1
        return []
    # Whether a second is over is looked at once a frame: a video may lack a second and a frame.
    longest = float(max(np.diff(times), default=0.0))
    capture, played = cv2.VideoCapture(str(folder / NAMES[2])), 0
    while capture.read()[0]:
        played += 1
    found["bad videos"] += played == 0
    wanted = sum(time <= times[-1] - FLUSH_SECONDS - longest for time in times)
    if 0 < played < wanted:
        found["short videos"] += 1
        print(f"\n{played} frames, not {wanted}: times {times}", file=sys.stderr)
    return [times[-1] - times[min(played, len(times)) - 1] if played else times[-1]]


def whole(line: bytes) -> dict[str, float] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and list(record)[-1] == "arousal" else None


if __name__ == "__main__":
    main()
