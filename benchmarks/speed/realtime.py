"""The whole way, from a video file to JSON lines: against its bare engine calls, the naive loop, and with four faces.

    python -m benchmarks.speed.realtime FACES/clips/pexels_crying_to_smiling.mp4
    python -m benchmarks.speed.realtime CLIP --models default xs --devices cpu --out benchmarks/results/realtime_xs.json

All that is compared runs in turn in this process, in rounds; medians. Writes ``benchmarks/results/realtime.json``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common import add_clip, add_out, command_parser, heading, in_turn, write_report
from mien import Recognizer
from mien.align import crop, crop_matrix
from mien.sinks.records import JsonLines
from mien.sources.factory import open_source
from mien.sources.video import quiet_opencv
from mien.types import Face, Frame, Image
from mien.vision.detector import WINDOW_PX

SECOND = 1.0
HIDDEN = 5.0, 5.5
"""Seconds between which one of the four faces is covered."""


def main() -> None:
    parser = command_parser("speed.realtime", __doc__)
    add_clip(parser)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["default"], help="packaged names or folders of bundles")
    parser.add_argument("--devices", nargs="+", default=["cpu", "openvino"], help="engines (default: cpu openvino)")
    add_out(parser, "realtime.json")
    args = parser.parse_args()
    quiet_opencv()
    given = f"--rounds {args.rounds} --models {' '.join(args.models)} --devices {' '.join(args.devices)}"
    report = {
        **heading(f"{parser.prog} {args.clip.name} {given}", "onnxruntime", "openvino"),
        "engines": [
            {"model": model, **measure(Recognizer(model, device=device), args.clip, args.rounds)}
            for model in args.models
            for device in args.devices
        ],
    }
    print(json.dumps(report, indent=2))
    write_report(args.out, report)


def measure(recognizer: Recognizer, clip: Path, rounds: int) -> dict[str, Any]:
    """All figures with one engine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = tile(clip, folder / "small.mp4", 0.5), tile(clip, folder / "large.mp4", 1.0)
        one = tile(clip, folder / "one.mp4", None)  # by the same encoder as the tilings
        covered = tile(clip, folder / "covered.mp4", 1.0, hidden=HIDDEN)
        ways: dict[str, Callable[[], object]] = {
            "pipeline": lambda: pipeline(recognizer, clip, folder),
            "naive loop": lambda: naive(recognizer, clip, folder),
            "one face": lambda: pipeline(recognizer, one, folder),
            "four faces, 640x360": lambda: pipeline(recognizer, small, folder),
            "four faces, 1280x720": lambda: pipeline(recognizer, large, folder),
            **bare(recognizer, clip),
        }
        taken = in_turn(ways, rounds, pause=0.3)
        seconds = {name: float(np.median(values)) for name, values in taken.items()}
        faces, raw, fps = pipeline(recognizer, clip, folder), naive(recognizer, clip, folder), rate(clip)
        ids = ids_of(pipeline(recognizer, covered, folder))
    return {
        "engine": recognizer.engine,
        "frames": len(faces),
        **figures(seconds, len(faces) / fps),
        **labels(faces, raw, fps),
        "ids of four faces, one hidden for half a second": ids,
        "milliseconds a frame": {name: round(1e3 * value / len(faces), 2) for name, value in seconds.items()},
    }


def pipeline(recognizer: Recognizer, clip: Path, folder: Path) -> list[list[Face]]:
    """What fer-run does: decode ahead, track, read, smooth, write."""
    made = []
    with open_source(clip) as source, recognizer.stream() as stream:
        sink = JsonLines(str(folder / "pipeline.jsonl"))
        for frame, faces in stream.read(source):
            sink.write(frame, faces)
            made.append(faces)
        sink.close()
    return made


def naive(recognizer: Recognizer, clip: Path, folder: Path) -> list[list[Face]]:
    """What one writes first: read, predict, write."""
    capture, made = cv2.VideoCapture(str(clip)), []
    sink = JsonLines(str(folder / "naive.jsonl"))
    while True:
        ok, image = capture.read()
        if not ok:
            break
        faces = recognizer.predict(image)
        sink.write(Frame(image, len(made) / 25, len(made), clip.name), faces)
        made.append(faces)
    sink.close()
    return made


def bare(recognizer: Recognizer, clip: Path) -> dict[str, Callable[[], object]]:
    """What no pipeline can do without: decoding, one window and one engine call a frame."""
    image, count = first(clip), frames(clip)
    (face,) = recognizer.predict(image)
    spec = recognizer.card.crop
    crops = crop(image, crop_matrix(spec, face.box, face.landmarks), spec.size)[None]
    window = np.ascontiguousarray(cv2.resize(image, (WINDOW_PX, WINDOW_PX)))[None]

    def decode() -> None:
        capture = cv2.VideoCapture(str(clip))
        while capture.read()[0]:
            pass

    return {
        "decode": decode,
        "windows": lambda: [recognizer._detector.engine.run(window) for _ in range(count)],
        "student": lambda: [recognizer._model.engine.run(crops) for _ in range(count)],
    }


def figures(seconds: dict[str, float], duration: float) -> dict[str, float]:
    parts = seconds["decode"] + seconds["windows"] + seconds["student"]
    return {
        "times real time": round(duration / seconds["pipeline"], 1),
        "times real time, four faces": round(duration / seconds["four faces, 640x360"], 1),
        "pipeline over its bare calls": round(seconds["pipeline"] / parts, 3),
        "naive loop over pipeline": round(seconds["naive loop"] / seconds["pipeline"], 2),
        "four faces over one, 640x360": round(seconds["four faces, 640x360"] / seconds["one face"], 2),
        "four faces over one, 1280x720": round(seconds["four faces, 1280x720"] / seconds["one face"], 2),
    }


def labels(made: list[list[Face]], naive: list[list[Face]], fps: float) -> dict[str, Any]:
    """Agreement, flips and delay, over the frames in which both see a face."""
    pairs = [(faces[0], alone[0]) for faces, alone in zip(made, naive, strict=True) if faces and alone]
    raw = [face.raw for face, _ in pairs if face.raw]
    seconds = len(pairs) / fps
    flips = [changes([f.expression.label for f in part]) for part in ([face for face, _ in pairs], raw)]
    valence = np.array([[face.affect.valence, one.affect.valence] for (face, _), one in zip(pairs, raw, strict=True)])
    return {
        "same label as the naive loop, raw": round(agreement(raw, [alone for _, alone in pairs]), 4),
        "same label as the naive loop, smoothed": round(agreement([f for f, _ in pairs], [a for _, a in pairs]), 4),
        "label flips a second, smoothed and raw": [round(count / seconds, 3) for count in flips],
        "flips, smoothed over raw": round(flips[0] / max(flips[1], 1), 3),
        "delay of valence, s": round(delay(valence[:, 0], valence[:, 1], fps), 3),
    }


def agreement(a: list[Face], b: list[Face]) -> float:
    return float(np.mean([x.expression.label == y.expression.label for x, y in zip(a, b, strict=True)]))


def changes(values: list[str]) -> int:
    return sum(a != b for a, b in pairwise(values))


def delay(smoothed: np.ndarray, raw: np.ndarray, fps: float) -> float:
    """Seconds by which ``smoothed`` lags, where their cross-correlation is largest (between frames: interpolated)."""
    fine = np.arange(0, len(raw) - 1, 0.1)
    a, b = (np.interp(fine, np.arange(len(raw)), values) for values in (raw, smoothed))
    most = round(10 * fps * SECOND)
    scores = [float(np.corrcoef(a[: len(a) - k], b[k:])[0, 1]) for k in range(most)]
    return int(np.argmax(scores)) / 10 / fps


def ids_of(made: list[list[Face]]) -> dict[str, list[int]]:
    """The ids that were seen in each quarter of the picture."""
    ids: dict[str, set[int]] = {}
    for faces in made:
        for face in faces:
            x, y = (face.box[:2] + face.box[2:]) / 2
            quarter = f"{'upper' if y < 360 else 'lower'} {'left' if x < 640 else 'right'}"
            ids.setdefault(quarter, set()).add(face.track_id or 0)
    return {quarter: sorted(found) for quarter, found in sorted(ids.items())}


def tile(clip: Path, out: Path, scale: float | None, hidden: tuple[float, float] = (0, 0)) -> Path:
    """The clip four times, 2 x 2, each shrunk by ``scale``; or once, where that is None. One tile is covered while
    ``hidden``, in seconds."""
    capture, fps = cv2.VideoCapture(str(clip)), rate(clip)
    writer, index = None, 0
    while True:
        ok, image = capture.read()
        if not ok:
            break
        whole: Image = np.asarray(image, dtype=np.uint8)
        if scale is not None:
            part = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            blank = np.full_like(part, 90) if hidden[0] <= index / fps < hidden[1] else part
            whole = np.vstack([np.hstack([blank, part]), np.hstack([part, part])])
        if writer is None:
            size = whole.shape[1], whole.shape[0]
            writer = cv2.VideoWriter(str(out), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        writer.write(whole)
        index += 1
    if writer is None:
        raise SystemExit(f"cannot read {clip}")
    writer.release()
    return out


def first(clip: Path) -> Image:
    return np.asarray(cv2.VideoCapture(str(clip)).read()[1], dtype=np.uint8)


def rate(clip: Path) -> float:
    return float(cv2.VideoCapture(str(clip)).get(cv2.CAP_PROP_FPS))


def frames(clip: Path) -> int:
    return int(cv2.VideoCapture(str(clip)).get(cv2.CAP_PROP_FRAME_COUNT))


if __name__ == "__main__":
    main()
