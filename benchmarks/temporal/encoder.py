"""The temporal encoder against filters at equal delay, on held-out sequences made of stills and on real clips.

    fer-train temporal --data FACES -o runs/temporal
    python -m benchmarks.temporal.encoder runs/temporal/temporal.pt --data FACES

Constants of the filters are chosen on the sequences to choose by; the figures are those of sequences made of the test
sets. Clips have no labels: there the ways are told by flips a second, by how much valence trembles and lags, and by how
often they agree with the raw labels voted over a second. What it costs is in ``speed.py``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.common import add_data, add_model, add_out, command_parser, heading, write_report
from benchmarks.temporal.encoder_plot import plot
from mien import Recognizer
from mien.bundle import Bundle, find_bundle
from mien.sources.factory import open_source
from mien.types import EXPRESSIONS
from mien_train.data.datasets import data_root
from mien_train.temporal.data import load_stills
from mien_train.temporal.evaluate import figures, gains, mean_delay, methods
from mien_train.temporal.filters import Reading, raw, slid
from mien_train.temporal.network import count_macs
from mien_train.temporal.pipeline import TEST_SEED, SceneCounts, lines, made_up
from mien_train.temporal.scenes import STILLS, make_scenes
from mien_train.temporal.sequences import Sequences
from mien_train.temporal.train import TemporalRecipe, load_temporal, train_temporal

CLIPS = ("pexels_crying_to_smiling", "single_face")
STEADY = ("raw", "stream filters, as they are", "encoder in a stream", "one frame, learned alike")
SHIFTS = 40
"""Frames by which a curve is tried behind another."""


def main() -> None:
    parser = command_parser("temporal.encoder", __doc__)
    parser.add_argument("encoder", type=Path, help="temporal.pt of fer-train temporal")
    add_model(parser)
    add_data(parser)
    parser.add_argument("--cache", type=Path, help="where fer-train temporal kept its scenes (default: beside encoder)")
    parser.add_argument("--scenes", type=int, default=250, help="of the test sets (default: 250)")
    parser.add_argument("--learned", type=int, default=800, help="scenes that the encoder learned from")
    parser.add_argument(
        "--frame", type=Path, help="folder to train an encoder of single frames in, to tell what time gives"
    )
    add_out(parser, "temporal.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    bundle, root = find_bundle(args.model), data_root(args.data)
    net, state = load_temporal(args.encoder)
    counts = SceneCounts(learned=args.learned, tested=args.scenes)
    draw, chosen, test = made_up(bundle, root, counts, args.cache or args.encoder.parent / "cache")
    assert test is not None
    ways, constants = methods(net, chosen)
    if args.frame:
        shape = replace(net.shape, window=1)
        single = train_temporal(draw, chosen, shape, TemporalRecipe(**state["recipe"]), args.frame, resume=True)
        ways["one frame, learned alike"] = methods(load_temporal(single)[0], chosen)[0]["encoder"]
    report: dict[str, Any] = {
        **heading(f"{parser.prog} TEMPORAL.pt --data FACES --scenes {args.scenes}", "onnxruntime", "torch"),
        "model": bundle.card.name,
        "encoder": {
            "shape": state["shape"],
            "recipe": state["recipe"],
            **state.get("card", {}),
            "macs": count_macs(net.shape),
        },
        "constants": constants,
        "chosen by": judge(ways, chosen),
    }
    read = {name: way(test) for name, way in ways.items()}
    report["test"] = table_of(read, test)
    report["truth"] = {
        "flips": flips(test.label, test),
        "frames": int(np.isfinite(test.times).sum()),
        "tremble": round(float(np.median([tremble(test.take(np.array([s]))) for s in range(len(test))])), 4),
    }
    report["gains"] = {
        name: gains(read["encoder"], read[name], test)
        for name in read
        if name not in ("encoder", "encoder in a stream")
    }
    report["recall"] = {name: recall(reading, test) for name, reading in read.items()}
    still = steady(bundle, root, counts, args.cache or args.encoder.parent / "cache")
    report["steady"] = {
        name: {"accuracy": figures(way(still), still)["accuracy"], "recall": recall(way(still), still)}
        for name, way in ways.items()
        if name in STEADY
    }
    report["clips"] = {name: on_clip(root / "clips" / f"{name}.mp4", args.model, ways) for name in CLIPS}
    write_report(args.out, report)
    plot(report, read, test, args.out.with_suffix(".png"))
    print("\n".join(lines(report["test"])))
    for name, values in report["gains"].items():
        shown = "  ".join(f"{key} {v[0]:+.4f} [{v[1]:+.4f}, {v[2]:+.4f}]" for key, v in values.items())
        print(f"encoder less {name:36s} {shown}")
    print(json.dumps({key: report.get(key) for key in ("constants", "truth", "steady", "clips")}, indent=1))


def steady(bundle: Bundle, root: Path, counts: SceneCounts, cache: Path) -> Sequences:
    """Each still of the scenes to test on as a face that does not change: no way may count on neutral to come."""
    scenes = make_scenes(load_stills(root)[2], bundle, counts.tested, counts.frames, TEST_SEED, cache)
    frames = scenes.times.shape[1]
    return Sequences(
        np.repeat(scenes.times, STILLS, axis=0),
        scenes.embedding.reshape(-1, *scenes.embedding.shape[2:]).astype(np.float32),
        scenes.expression.reshape(-1, frames, len(EXPRESSIONS)),
        scenes.affect.reshape(-1, frames, 2),
        np.repeat(scenes.labels.reshape(-1, 1), frames, axis=1),
        np.repeat(scenes.truth.reshape(-1, 1, 2), frames, axis=1),
    )


def judge(ways: dict[str, Any], part: Sequences) -> dict[str, Any]:
    return table_of({name: way(part) for name, way in ways.items()}, part)


def table_of(read: dict[str, Reading], part: Sequences) -> dict[str, Any]:
    delays = mean_delay(part, read)
    return {name: figures(reading, part) | {"delay": delays[name]} for name, reading in read.items()}


def recall(reading: Reading, part: Sequences) -> dict[str, float]:
    there = np.isfinite(part.times)
    hit = reading.label == part.label
    shown = {name: hit[there & (part.label == c)] for c, name in enumerate(EXPRESSIONS)}
    return {name: round(float(right.mean()), 4) for name, right in shown.items() if len(right)}


def flips(label: np.ndarray, part: Sequences) -> float:
    seconds = (part.times.max(1) - part.times[:, 0]).sum()
    return round(float((label[:, 1:] != label[:, :-1]).sum() / seconds), 3)


def clip_frames(path: Path, recognizer: Recognizer) -> tuple[Sequences, float]:
    """The largest face of every frame of a clip, as a sequence without truth; and its share of the frames."""
    times, said, count = [], [], 0
    with open_source(path) as source, recognizer.stream(temporal=False) as stream:
        rate = source.fps or 25
        for frame in source:
            faces = stream.update(frame.image, count / rate)
            if faces and faces[0].raw:
                one = faces[0].raw
                own = [one.affect.valence, one.affect.arousal]
                said.append((one.embedding.copy(), list(one.expression.probabilities.values()), own))
                times.append(count / rate)
            count += 1
    embedding, expression, affect = (np.array(column, np.float32)[None] for column in zip(*said, strict=True))
    label, truth = np.full((1, len(times)), -1), np.full((1, len(times), 2), np.nan, np.float32)
    return Sequences(np.array(times)[None], embedding, expression, affect, label, truth), len(times) / count


def on_clip(path: Path, model: str, ways: dict[str, Any]) -> dict[str, Any]:
    part, found = clip_frames(path, Recognizer(model, device="cpu", precision="int8", threads=1))
    alone = raw(part)
    voted = slid(alone, part.times, 1.0)
    rows: dict[str, Any] = {"frames": part.times.shape[1], "found": round(found, 4), "tremble": tremble(part)}
    for name, way in ways.items():
        reading = way(part)
        curve = reading.affect[0, :, 0]
        rows[name] = {
            "flips": flips(reading.label, part),
            "valence jump": round(float(np.abs(np.diff(curve, 2)).mean()), 4),
            "as voted": round(float((reading.label == voted.label).mean()), 4),
            "valence lag": lag(curve, voted.affect[0, :, 0], part.times[0]),
        }
    return rows


def lag(curve: np.ndarray, centered: np.ndarray, times: np.ndarray) -> float | None:
    """Seconds by which ``curve`` fits best behind the centered mean of the raw one; None for too short a clip."""
    steps = range(-5, SHIFTS)
    inner = slice(SHIFTS, len(curve) - SHIFTS)
    if len(curve) < 3 * SHIFTS:
        return None
    errors = [float(((np.roll(curve, -k) - centered)[inner] ** 2).mean()) for k in steps]
    return round(steps[int(np.argmin(errors))] * float(np.median(np.diff(times))), 3)


def tremble(part: Sequences) -> float:
    """Distance of an embedding from the mean of its neighbors, over the length of an embedding."""
    e = part.embedding[0]
    gap = e[1:-1] - (e[:-2] + e[2:]) / 2
    return round(float(np.linalg.norm(gap, axis=1).mean() / 1.5**0.5 / np.linalg.norm(e, axis=1).mean()), 4)


if __name__ == "__main__":
    main()
