"""Where the time goes, from a video file to JSON lines and an annotated video: by faces and by size of the picture.

    python -m benchmarks.speed.pipeline FACES/clips/pexels_crying_to_smiling.mp4

The clip is tiled with 1 to 16 faces, and stretched from 360 to 2160 lines. Of each frame are timed, one after the
other: ``decode`` (waiting for the frame, which a thread decodes ahead), ``detect`` (and tracking), ``align``,
``engine``, ``smooth``, ``draw``, ``write`` (JSON lines) and ``encode`` (the annotated video). ``rest`` is what none of
these covers, so that all of them sum to the time from before the first frame to after the last. All cases run in turn,
in rounds; told is the round with the median time. Writes ``benchmarks/results/pipeline.json`` and a plot.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from tqdm import tqdm

from benchmarks.common import add_clip, add_out, command_parser, heading, in_turn, write_report
from mien import Recognizer
from mien.drawing.faces import draw_faces
from mien.sinks.media import SaveVideo
from mien.sinks.records import JsonLines
from mien.sources.factory import open_source
from mien.sources.video import quiet_opencv
from mien.types import Frame

STAGES = ("decode", "detect", "align", "engine", "smooth", "draw", "write", "encode", "rest")
NAMES = {"crop": "align"}
"""What ``Stream.timings`` calls a stage, where it has another name here."""
SMALL = ("align", "smooth", "draw", "write")
SHARE = "share of align, smooth, draw and write, encoding aside"
LIMIT = 0.15  # of the time of one face at 640 x 360, encoding aside, for SMALL together
COLORS = ("#8d99ae", "#264653", "#2a9d8f", "#c0392b", "#e9c46a", "#f4a261", "#e76f51", "#b9c0c9", "#e3e6ea")
Case = tuple[int, int]
"""Faces, and lines of the picture."""


def tile(clip: Path, out: Path, case: Case, count: int) -> Path:
    """The first ``count`` frames in 16:9, as a grid of as many clips as the case has faces; spare places stay grey."""
    faces, lines = case
    grid = math.ceil(math.sqrt(faces))
    width, height = 2 * (lines * 16 // 9 // 2), lines
    capture = cv2.VideoCapture(str(clip))
    fps = capture.get(cv2.CAP_PROP_FPS) or 25
    writer = cv2.VideoWriter(str(out), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    written = 0
    while written < count:
        ok, image = capture.read()
        if not ok:
            break
        picture = np.full((height, width, 3), 90, np.uint8)
        way = cv2.INTER_AREA if height // grid < image.shape[0] else cv2.INTER_LINEAR
        part = cv2.resize(image, (width // grid, height // grid), interpolation=way)
        for k in range(faces):
            y, x = k // grid * (height // grid), k % grid * (width // grid)
            picture[y : y + part.shape[0], x : x + part.shape[1]] = part
        writer.write(picture)
        written += 1
    writer.release()
    if not written:
        raise SystemExit(f"cannot read {clip}; give a video of one face")
    return out


def run(recognizer: Recognizer, clip: Path, folder: Path) -> dict[str, float]:
    """Seconds of each stage, and how many ``frames`` and ``faces``."""
    spent = dict.fromkeys(STAGES, 0.0)
    frames = found = 0
    with open_source(clip) as source, recognizer.stream() as stream:
        lines, video = (
            JsonLines(str(folder / "faces.jsonl")),
            SaveVideo(folder / "drawn.mp4", fps=source.fps, live=False),
        )
        begin = last = time.perf_counter()
        for frame in source:
            marks = [last, time.perf_counter()]
            faces = stream.update(frame.image, frame.time)
            marks.append(time.perf_counter())
            drawn = draw_faces(frame.image, faces)
            marks.append(time.perf_counter())
            lines.write(frame, faces)
            marks.append(time.perf_counter())
            video.write(Frame(drawn, frame.time, frame.index, frame.name))
            marks.append(time.perf_counter())
            took = np.diff(marks).tolist()
            parts = {"decode": took[0], "draw": took[2], "write": took[3], "encode": took[4]}
            for stage, seconds in (*parts.items(), *stream.timings.items()):
                spent[NAMES.get(stage, stage)] += seconds
            frames, found = frames + 1, found + len(faces)
            last = time.perf_counter()
        begun = time.perf_counter()
        lines.close()
        spent["write"] += (closed := time.perf_counter()) - begun
        video.close()
        end = time.perf_counter()
        spent["encode"] += end - closed
    spent["rest"] = end - begin - sum(spent.values())
    return {**spent, "frames": frames, "faces": found}


def figures(rounds: list[dict[str, float]], case: Case) -> dict[str, Any]:
    """Of the round with the median time: milliseconds of a frame by stage, which sum to ``total``. Of all rounds: the
    median share of SMALL, and the least and the most."""
    made = sorted(rounds, key=lambda one: sum(one[stage] for stage in STAGES))[(len(rounds) - 1) // 2]
    each = {stage: round(1e3 * made[stage] / made["frames"], 3) for stage in STAGES}
    total = sum(each.values())
    whole = [share(one, STAGES) for one in rounds]
    shares = [share(one, [stage for stage in STAGES if stage != "encode"]) for one in rounds]
    return {
        "faces": case[0],
        "size": f"{2 * (case[1] * 16 // 9 // 2)}x{case[1]}",
        "faces found in a frame": round(made["faces"] / made["frames"], 2),
        "ms a frame": {**each, "total": round(total, 3)},
        SHARE: round(float(np.median(shares)), 4),
        "of single rounds, from and to": [round(min(shares), 4), round(max(shares), 4)],
        "share with encoding": round(float(np.median(whole)), 4),
        "frames a second without encoding": round(1e3 / (total - each["encode"]), 1),
    }


def share(spent: dict[str, float], stages: Sequence[str]) -> float:
    """Of SMALL, in the time of ``stages``."""
    return sum(spent[stage] for stage in SMALL) / sum(spent[stage] for stage in stages)


def plot(report: dict[str, Any], path: Path) -> None:
    """Stacked bars: by faces at the smallest size, and by size with one face and with the most."""
    rows = report["cases"]
    sizes, counts = list(dict.fromkeys(row["size"] for row in rows)), list(dict.fromkeys(row["faces"] for row in rows))
    panels = [
        (
            f"{sizes[0].replace('x', '×')}, by number of faces",
            [(str(r["faces"]), r) for r in rows if r["size"] == sizes[0]],
        )
    ]
    for count in dict.fromkeys((counts[0], counts[-1])):
        several = "face" if count == 1 else "faces"
        title = f"{count} {several}, by size of the picture"
        panels.append((title, [(r["size"].replace("x", "×"), r) for r in rows if r["faces"] == count]))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(13, 4.4), layout="constrained", width_ratios=[5, 4, 4][: len(panels)]
    )
    for axis, (title, bars) in zip(np.atleast_1d(axes), panels, strict=True):
        _bars(axis, title, bars)
    np.atleast_1d(axes)[0].set_ylabel("milliseconds a frame")
    figure.legend(
        *np.atleast_1d(axes)[0].get_legend_handles_labels(), loc="outside right center", frameon=False, reverse=True
    )
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _bars(axis: Axes, title: str, bars: list[tuple[str, dict[str, Any]]]) -> None:
    floor = np.zeros(len(bars))
    for stage, color in zip(STAGES, COLORS, strict=True):
        heights = np.array([row["ms a frame"][stage] for _, row in bars])
        hatch = "///" if stage == "encode" else None
        axis.bar(
            range(len(bars)),
            heights,
            0.7,
            floor,
            color=color,
            label=stage,
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
        )
        floor += heights
    for k in range(len(bars)):
        axis.annotate(
            f"{floor[k]:.0f}", (k, floor[k]), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9
        )
    axis.set_xticks(range(len(bars)), [name for name, _ in bars], fontsize=9)
    axis.set_title(title, fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)


def main() -> None:
    parser = command_parser("speed.pipeline", __doc__)
    add_clip(parser)
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument(
        "--lines", type=int, nargs="+", default=[360, 720, 1080, 2160], help="heights of the picture in px"
    )
    parser.add_argument("--frames", type=int, default=100, help="of the clip (default: 100)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of the model (default: all cores but one)")
    add_out(parser, "pipeline.json")
    args = parser.parse_args()
    if min(*args.faces, *args.lines, args.frames, args.rounds) < 1 or min(args.lines) < 90:
        parser.error("--faces, --frames and --rounds are 1 or more, --lines 90 or more")
    quiet_opencv()  # of what an encoder that is not there has to say
    recognizer = Recognizer(threads=args.threads)
    cases = [(faces, lines) for lines in sorted(set(args.lines)) for faces in sorted(set(args.faces))]
    rounds: dict[Case, list[dict[str, float]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = {
            case: tile(args.clip, folder / f"{case[0]}-{case[1]}.mp4", case, args.frames)
            for case in tqdm(cases, "tiling", mininterval=2)
        }
        run(recognizer, clips[cases[0]], folder)  # warms up
        with tqdm(total=args.rounds * len(cases), desc="runs") as bar:

            def work(case: Case) -> None:
                rounds[case].append(run(recognizer, clips[case], folder))
                bar.update()

            in_turn({case: partial(work, case) for case in cases}, args.rounds, warm_up=0, pause=0.3)
    given = {key: value for key, value in vars(args).items() if value and key not in ("clip", "out")}
    chosen = [f"--{key} {value}".translate(str.maketrans("", "", "[],")) for key, value in given.items()]
    report: dict[str, Any] = {
        **heading(" ".join([parser.prog, args.clip.name, *chosen]), "onnxruntime"),
        "engine": recognizer.engine,
        "stretched from": args.clip.name,
        "cases": [figures(rounds[case], case) for case in cases],
    }
    write_report(args.out, report)
    plot(report, args.out.with_suffix(".png"))
    print("  ".join(["faces", "     size", "found", *(stage.rjust(7) for stage in (*STAGES, "total")), "small"]))
    for row in report["cases"]:
        cells = "  ".join(f"{value:7.2f}" for value in row["ms a frame"].values())
        print(f"{row['faces']:5}  {row['size']:>9}  {row['faces found in a frame']:5.2f}  {cells}  {row[SHARE]:5.1%}")
    one = next((row for row in report["cases"] if (row["faces"], row["size"]) == (1, "640x360")), None)
    if one and one["faces found in a frame"] < 0.9:
        print(f"\nthe face of {args.clip.name} is found in too few frames to judge a share by; give another clip")
    elif one:
        print(f"\n{SHARE}, of one face at 640x360: {one[SHARE]:.1%}, at most {LIMIT:.0%}")


if __name__ == "__main__":
    main()
