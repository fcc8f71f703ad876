"""What the temporal encoder costs a stream: frames a second with and without, and whether INT8 weights would be faster.

    python benchmarks/temporal_speed.py FACES/clips/pexels_crying_to_smiling.mp4

Both streams read each frame, turn about, with the student in INT8 on one thread. Writes
``benchmarks/results/temporal_speed.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import QuantType, quantize_dynamic

from mien import Recognizer
from mien.bundle import find_bundle
from mien.engines.selection import processor
from mien.errors import SourceError
from mien.sources.factory import open_source
from mien_export.temporal import windows
from mien_train.temporal.network import TemporalShape

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="a video of one face")
    parser.add_argument("--model", default="default", help="a bundle that has an encoder")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    report = {
        "command": f"python benchmarks/temporal_speed.py FACES/clips/{args.clip.name}",
        "machine": processor(),
        "versions": {name: version(name) for name in ("mien", "numpy", "onnxruntime")},
        **speed(args.model, args.clip),
        "int8": int8(args.model),
    }
    print(json.dumps(report, indent=1))
    (RESULTS / "temporal_speed.json").write_text(json.dumps(report, indent=1) + "\n")


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
        streams = {temporal: recognizer.stream(temporal=temporal) for temporal in (True, False)}
        spent: dict[bool, list[float]] = {True: [], False: []}
        smooth: dict[bool, list[float]] = {True: [], False: []}
        for i, image in enumerate(images):
            for temporal in (True, False) if i % 2 else (False, True):
                started = time.perf_counter()
                streams[temporal].update(image, i / 25)
                spent[temporal].append(1e3 * (time.perf_counter() - started))
                smooth[temporal].append(1e6 * streams[temporal].timings["smooth"])
        rows.append([*map(statistics.median, (spent[True], spent[False], smooth[True], smooth[False]))])
    with_, without, smoothing, filters = (statistics.median(column) for column in zip(*rows, strict=True))
    return {
        "frames": len(images),
        "turns": turns,
        "ms a frame with": round(with_, 3),
        "ms a frame without": round(without, 3),
        "ratio": round(without / with_, 4),
        "ratios": [round(row[1] / row[0], 4) for row in rows],
        "microseconds of smoothing with": round(smoothing, 1),
        "microseconds of smoothing without": round(filters, 1),
    }


def int8(bundle: str) -> dict[str, Any]:
    """Dynamic INT8 weights of the encoder against float32: is it worth a file?"""
    found = find_bundle(bundle)
    path = found.verified("temporal.onnx")
    shape = TemporalShape(found.card.embedding, window=found.card.temporal["window"])
    cases = windows(shape)
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8.onnx"
        quantize_dynamic(path, small, weight_type=QuantType.QInt8)
        outputs, micros = [], []
        for file in (path, small):
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            session = ort.InferenceSession(str(file), options)
            outputs.append(session.run(["expression_now"], cases)[0])
            one = {name: values[:1] for name, values in cases.items()}
            spent = []
            for _ in range(400):
                started = time.perf_counter()
                session.run(None, one)
                spent.append(1e6 * (time.perf_counter() - started))
            micros.append(round(statistics.median(spent), 1))
        sizes = [path.stat().st_size, small.stat().st_size]
    gap = float(np.abs(outputs[0] - outputs[1]).max())
    return {"microseconds": micros, "bytes": sizes, "largest difference": round(gap, 4)}


if __name__ == "__main__":
    main()
