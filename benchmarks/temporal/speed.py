"""What the temporal encoder costs a stream: frames a second with and without, and whether INT8 weights would be faster.

    python -m benchmarks.temporal.speed FACES/clips/pexels_crying_to_smiling.mp4

Both streams read each frame, turn about, with the student in INT8 on one thread. Writes
``benchmarks/results/temporal_speed.json``.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.common import add_clip, add_model, add_out, command_parser, heading, in_turn, write_report
from mien import Recognizer
from mien.bundle import find_bundle
from mien.errors import SourceError
from mien.sources.factory import open_source
from mien.types import Image
from mien_export.temporal import windows
from mien_train.temporal.network import TemporalShape


def main() -> None:
    parser = command_parser("temporal.speed", __doc__)
    add_clip(parser)
    add_model(parser)
    add_out(parser, "temporal_speed.json")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    report = {
        **heading(f"{parser.prog} FACES/clips/{args.clip.name}", "onnxruntime"),
        **speed(args.model, args.clip),
        "int8": int8(args.model),
    }
    print(json.dumps(report, indent=1))
    write_report(args.out, report)


def speed(bundle: str, path: Path, turns: int = 5) -> dict[str, Any]:
    """Frames a second of a stream with the encoder over that without: both read each frame, turn about. One thread."""
    try:
        with open_source(path) as source:
            images = [frame.image for frame in islice(source, 200)]
    except SourceError as error:
        raise SystemExit(str(error)) from error
    recognizer = Recognizer(bundle, device="cpu", precision="int8", threads=1)
    rows = []
    for _ in range(turns):
        smooth: dict[bool, list[float]] = {True: [], False: []}
        works = {temporal: partial(next, steps(recognizer, images, temporal, smooth[temporal])) for temporal in smooth}
        spent = in_turn(works, len(images), warm_up=0, rotate=True)
        rows.append([*map(statistics.median, (spent[True], spent[False], smooth[True], smooth[False]))])
    with_, without, smoothing, filters = (statistics.median(column) for column in zip(*rows, strict=True))
    return {
        "frames": len(images),
        "turns": turns,
        "ms a frame with": round(1e3 * with_, 3),
        "ms a frame without": round(1e3 * without, 3),
        "ratio": round(without / with_, 4),
        "ratios": [round(row[1] / row[0], 4) for row in rows],
        "microseconds of smoothing with": round(1e6 * smoothing, 1),
        "microseconds of smoothing without": round(1e6 * filters, 1),
    }


def steps(recognizer: Recognizer, images: list[Image], temporal: bool, smooth: list[float]) -> Iterator[None]:
    """Each step reads the next frame; ``smooth`` gets the seconds that its smoothing took."""
    stream = recognizer.stream(temporal=temporal)
    for i, image in enumerate(images):
        stream.update(image, i / 25)
        smooth.append(stream.timings["smooth"])
        yield


def int8(bundle: str) -> dict[str, Any]:
    """Dynamic INT8 weights of the encoder against float32: is it worth a file?"""
    found = find_bundle(bundle)
    path = found.verified("temporal.onnx")
    shape = TemporalShape(found.card.embedding, window=found.card.temporal["window"])
    cases = windows(shape)
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8.onnx"
        quantize_dynamic(path, small, weight_type=QuantType.QInt8)
        one = {name: values[:1] for name, values in cases.items()}
        outputs, works = [], {}
        for file in (path, small):
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            session = ort.InferenceSession(str(file), options)
            outputs.append(session.run(["expression_now"], cases)[0])
            works[file.name] = partial(session.run, None, one)
        micros = [round(1e6 * statistics.median(spent), 1) for spent in in_turn(works, 400).values()]
        sizes = [path.stat().st_size, small.stat().st_size]
    gap = float(np.abs(outputs[0] - outputs[1]).max())
    return {"microseconds": micros, "bytes": sizes, "largest difference": round(gap, 4)}


if __name__ == "__main__":
    main()
