"""A real clip through ``Recognizer.predict``, frame by frame: is the face found, and does valence follow it?

    python -m benchmarks.accuracy.clip FACES/clips/pexels_crying_to_smiling.mp4

The clip shows one man whose face goes from crying to smiling. Frames are read alone: no tracking, no smoothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np

from benchmarks.common import add_clip, add_model, add_out, command_parser, heading, write_report
from mien import Recognizer
from mien.sources.factory import open_source

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    parser = command_parser("accuracy.clip", __doc__)
    add_clip(parser)
    add_model(parser)
    add_out(parser, "clip.json")
    args = parser.parse_args()
    recognizer = Recognizer(args.model)
    rows, labels = [], []
    with open_source(args.clip) as source:
        rate = source.fps or 25
        for frame in source:
            faces = recognizer.predict(frame.image)
            rows.append((faces[0].affect.valence, faces[0].affect.arousal) if faces else (np.nan, np.nan))
            labels.append(faces[0].expression.label if faces else None)
    values = np.array(rows)
    fifth = len(values) // 5
    start, end = np.nanmean(values[:fifth], axis=0), np.nanmean(values[-fifth:], axis=0)
    report = {
        **heading(f"{parser.prog} {args.clip.name}", "onnxruntime"),
        "frames": len(values),
        "frames with a face": round(float(1 - np.isnan(values[:, 0]).mean()), 4),
        "valence, mean of the first and the last fifth": [round(float(start[0]), 3), round(float(end[0]), 3)],
        "arousal, mean of the first and the last fifth": [round(float(start[1]), 3), round(float(end[1]), 3)],
        "labels of the first fifth": count(labels[:fifth]),
        "labels of the last fifth": count(labels[-fifth:]),
    }
    write_report(args.out, report)
    print(json.dumps(report, indent=2))
    plot(values, rate, args.out.with_suffix(".png"))


def count(labels: list[str | None]) -> dict[str, int]:
    return {str(label): labels.count(label) for label in sorted(set(labels), key=labels.count, reverse=True)}


def plot(values: np.ndarray, rate: float, path: Path) -> None:
    figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
    seconds = np.arange(len(values)) / rate
    for column, name, color in ((0, "valence", "#1b7837"), (1, "arousal", "#b35806")):
        axis.plot(seconds, values[:, column], color=color, linewidth=1.2, label=name)
    axis.axhline(0, color="#999", linewidth=0.6)
    axis.set(xlabel="seconds", ylim=(-1, 1), title="From crying to smiling: raw output, frame by frame")
    axis.legend(frameon=False, loc="upper left", ncols=2)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
