"""``fer-batch``: pictures and hours of video an hour by workers, Ray against processes, memory, and the driver's share.

    python -m benchmarks.speed.archive FACES/clips/pexels_crying_to_smiling.mp4

Pictures are scikit-image's portrait, all different; videos are copies of the clip. Workers of this machine have loaded
the model before they are timed; those of Ray begin with each run, so the time of a run over one picture is told beside.
Everything takes turns, ``--rounds`` times; medians. The driver's share is the processor time of this process. Writes
``benchmarks/results/archive_speed.json``.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from benchmarks.common import add_clip, add_model, add_out, command_parser, heading, write_report
from mien.batch.cluster import HERE, Cluster
from mien.batch.folder import Folder
from mien.batch.inputs import Input, local_input
from mien.batch.processes import Processes
from mien.batch.run import Run, Workers
from mien.batch.settings import Model, Settings, open_model
from mien.sources.demo import demo_picture

MIB = 2**20


def main() -> None:
    parser = command_parser("speed.archive", __doc__)
    add_clip(parser)
    add_model(parser)
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    add_out(parser, "archive_speed.json")
    args = parser.parse_args()
    busy = os.getloadavg()[0]
    model = open_model(Settings(args.model, device="cpu"))
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        pictures, clips = made(Path(name), args.clip, args.pictures, args.clips)
        seconds = float(cv2.VideoCapture(str(args.clip)).get(cv2.CAP_PROP_FRAME_COUNT)) * len(clips)
        seconds /= float(cv2.VideoCapture(str(args.clip)).get(cv2.CAP_PROP_FPS))
        crews: dict[str, Workers] = {f"{count} processes": Processes(model, count) for count in args.workers}
        if find_spec("ray"):
            crews[f"ray {args.workers[-1]}"] = Cluster(model, HERE, args.workers[-1])
        runs = measured(crews, model, Path(name), pictures, clips, args.rounds)
        for crew in crews.values():
            crew.close()
    report = {
        **heading(
            f"{parser.prog} {args.clip.name} --pictures {args.pictures} --clips {args.clips} --rounds {args.rounds}",
            "onnxruntime", "ray",
        ),
        "load of the machine before": round(busy, 1),
        "engine": f"{model.told['device']} {model.told['precision']}",
        "pictures, seconds of video": [len(pictures), round(seconds, 1)],
        "workers": {crew: figures(found, len(pictures), seconds) for crew, found in runs.items()},
        "MB of a picture, of an hour of video": [
            round(sum(item.weight for item in pictures) / len(pictures) / 1e6, 3),
            round(sum(item.weight for item in clips) / 1e6 / seconds * 3600, 1),
        ],
    }  # fmt: skip
    write_report(args.out, report)
    for crew, row in report["workers"].items():
        print(crew, row)


def made(folder: Path, clip: Path, pictures: int, clips: int) -> tuple[list[Input], list[Input]]:
    portrait = cv2.imread(str(demo_picture()))
    stills, videos = [], []
    for i in range(pictures):
        stills.append(folder / f"{i}.jpg")
        cv2.imwrite(str(stills[-1]), np.roll(portrait, (i % 40, i // 4), (0, 1)))
    for i in range(clips):
        videos.append(Path(shutil.copyfile(clip, folder / f"{i}{clip.suffix}")))
    return [local_input(path) for path in stills], [local_input(path) for path in videos]


def measured(
    crews: dict[str, Workers], model: Model, folder: Path, pictures: list[Input], clips: list[Input], rounds: int
) -> dict[str, dict[str, list[Any]]]:
    """Seconds, seconds of the driver and bytes written, of each crew and kind of work; the first round warms up."""
    works = {"one picture": pictures[:1], "pictures": pictures, "clips": clips}
    found: dict[str, dict[str, list[Any]]] = {crew: {work: [] for work in (*works, "MiB")} for crew in crews}
    for number in range(rounds + 1):
        for crew, workers in crews.items():
            for work, inputs in works.items() if number else [("one picture", pictures[:4])]:
                results = folder / f"{crew}-{work}-{number}"
                start, before = time.perf_counter(), time.process_time()
                task = Run(place := Folder(str(results), model.told), model, inputs)
                task.work(workers)
                taken = time.perf_counter() - start, time.process_time() - before
                place.close()
                size = sum(path.stat().st_size for path in results.rglob("*") if path.is_file())
                if number:
                    found[crew][work].append((*taken, size))
                if task.progress.failed:
                    raise SystemExit(f"{task.progress.failed} inputs failed")
            if number:
                found[crew]["MiB"].append(worker_memory())
    return found


def worker_memory() -> float:
    """The largest resident memory of a process that this one started, in MiB."""
    sizes = [0.0]
    for child in psutil.Process().children(recursive=True):
        words = " ".join(child.cmdline())
        if "spawn_main" in words or "ray::" in words:
            sizes.append(child.memory_info().rss / MIB)
    return max(sizes)


def figures(found: dict[str, list[Any]], pictures: int, seconds: float) -> dict[str, float]:
    def median(work: str, part: int) -> float:
        return statistics.median(run[part] for run in found[work])

    return {
        "pictures an hour": round(3600 * pictures / median("pictures", 0)),
        "hours of video an hour": round(seconds / median("clips", 0), 2),
        "seconds of one picture": round(median("one picture", 0), 2),
        "driver, ms a picture": round(1e3 * median("pictures", 1) / pictures, 3),
        "driver, s an hour of video": round(3600 * median("clips", 1) / seconds, 3),
        "kB written a picture": round(median("pictures", 2) / 1e3 / pictures, 3),
        "MB written an hour of video": round(median("clips", 2) / 1e6 / seconds * 3600, 3),
        "MiB a worker": round(statistics.median(found["MiB"])),
    }


if __name__ == "__main__":
    main()
