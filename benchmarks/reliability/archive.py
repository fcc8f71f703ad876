"""``fer-batch`` on an archive with broken inputs, while its driver and its workers are killed: is every row there once?

    python -m benchmarks.reliability.archive --kills 20

The archive is made of scikit-image's portrait, or of the clips of ``--data`` where they are: pictures and videos that
all differ, and five broken inputs. One run is left alone. Another is killed again and again, its driver or one of its
workers, and started anew until it ends by itself. Both folders must hold the same files. Writes
``benchmarks/results/archive.json``.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow.parquet as pq

from benchmarks.common import add_data, add_out, command_parser, heading, write_report
from mien.sources.demo import demo_picture

CLIP_FRAMES, CLIP_SIZE = 100, (320, 180)
BROKEN = {"empty.jpg": 0, "cut.jpg": 3000, "cut.mp4": 2000, "text.png": -1, "text.mp4": -1}
"""Broken inputs, by the bytes that are left of a whole one; -1 for a text."""


def main() -> None:
    parser = command_parser("reliability.archive", __doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    add_data(parser, required=False)
    add_out(parser, "archive.json")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        folder = Path(name)
        make_archive(folder / "in", args.pictures, args.clips, args.data)
        start = time.monotonic()
        run(args, folder, "alone").wait()
        alone = time.monotonic() - start
        killed = kill_again_and_again(args, folder, alone, rng)
        report = {
            **heading(f"{parser.prog} --pictures {args.pictures} --clips {args.clips} --kills {args.kills}"),
            "inputs, of which broken": [args.pictures + args.clips + len(BROKEN), len(BROKEN)],
            "kills of the driver, of workers": [killed["driver"], killed["worker"]],
            **compared(folder),
        }
    write_report(args.out, report)
    for key, value in report.items():
        print(f"{key:<50} {value}")
    if any(report[key] for key in WRONG):
        raise SystemExit("not everything is there once")


WRONG = ("inputs without a row, or with two", "files that differ from those of the run that was left alone", "orphans")


def make_archive(folder: Path, pictures: int, clips: int, data: Path | None) -> None:
    """Pictures in folders of 500, clips, and the broken inputs."""
    portrait = cv2.imread(str(demo_picture()))
    (folder / "broken").mkdir(parents=True)
    for i in range(pictures):
        place = folder / f"pictures{i // 500}"
        place.mkdir(exist_ok=True)
        cv2.imwrite(str(place / f"{i}.jpg"), np.roll(portrait, (i % 40, i // 4), (0, 1)))
    found = sorted((data / "clips").glob("*.mp4")) if data else []
    for i in range(clips):
        path = folder / f"clip{i}.mp4"
        if found:
            os.symlink(found[i % len(found)].resolve(), path)
            continue
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, CLIP_SIZE)
        for k in range(CLIP_FRAMES):
            writer.write(cv2.resize(np.roll(portrait, 3 * k + i, 1), CLIP_SIZE))
        writer.release()
    whole = {suffix: next(folder.rglob(f"*{suffix}")).read_bytes() for suffix in (".jpg", ".mp4")}
    for name, left in BROKEN.items():
        data_ = b"no picture at all" if left < 0 else whole[Path(name).suffix][:left]
        (folder / "broken" / name).write_bytes(data_)


def run(args: argparse.Namespace, folder: Path, name: str) -> subprocess.Popen[bytes]:
    """Start fer-batch, into the folder ``name``."""
    code = "import sys; sys.argv[0] = 'fer-batch'; from mien.cli.programs import fer_batch; fer_batch()"
    words = [str(folder / "in"), "-o", str(folder / name), "--workers", str(args.workers), "--device", "cpu"]
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_again_and_again(args: argparse.Namespace, folder: Path, alone: float, rng: random.Random) -> Counter[str]:
    """Run until the end, with kills on the way; how many there were of each kind."""
    killed, process = Counter[str](), run(args, folder, "killed")
    while killed.total() < args.kills:
        try:
            process.wait(rng.uniform(0.3, max(1.0, 2 * alone / max(1, args.kills))))
            break
        except subprocess.TimeoutExpired:
            pass
        children = psutil.Process(process.pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        if workers and rng.random() < 0.5:
            os.kill(rng.choice(workers).pid, signal.SIGKILL)
            killed["worker"] += 1
        else:
            process.kill()
            process.wait()
            killed["driver"] += 1
            process = run(args, folder, "killed")
    process.wait()
    if run(args, folder, "killed").wait() not in (0, 1):  # nothing is left to do
        raise SystemExit("fer-batch does not go on")
    return killed


def compared(folder: Path) -> dict[str, object]:
    files = {
        name: {str(path.relative_to(folder / name)): path for path in (folder / name).rglob("*") if path.is_file()}
        for name in ("alone", "killed")
    }
    rows = pq.read_table(folder / "killed/index.parquet").to_pylist()
    inputs = Counter(row["input"] for row in rows)
    there = [str(path) for path in (folder / "in").rglob("*") if not path.is_dir()]
    differ = [
        name
        for name in files["alone"]
        if name not in files["killed"] or files["alone"][name].read_bytes() != files["killed"][name].read_bytes()
    ]
    return {
        "inputs that failed": sum(row["state"] == "failed" for row in rows),
        WRONG[0]: sum(inputs[name] != 1 for name in there),
        WRONG[1]: len(differ),
        WRONG[2]: len(set(files["killed"]) - set(files["alone"])),
        "faces": sum(row["faces"] for row in rows),
        "files": len(files["killed"]),
    }


if __name__ == "__main__":
    main()
