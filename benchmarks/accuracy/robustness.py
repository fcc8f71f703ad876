"""How much accuracy is lost where a picture is worse than those of the test sets: blur, distance, light, cover ...

    python -m benchmarks.accuracy.robustness --data FACES

Each picture is corrupted (``corruptions.py``) before its face is found, as life does, by
``mien.vision.detector.find_in_crop``; what is found is cropped and read on ONNX Runtime's CPU in every precision that
the bundle holds. A face that is no longer found counts as wrong. Measured are faces that are found in the clean
picture, so that without a corruption nothing is missed. A second crop, cut by the clean picture's landmarks, tells what
the network alone loses; the rest is the detector's. Writes ``benchmarks/results/robustness.json`` and a heat map, and
prints what belongs into the model card.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.accuracy.corruptions import KINDS, Shown
from benchmarks.accuracy.robustness_report import limits, plot, table, write_card
from benchmarks.common import TEST_SETS, add_data, add_model, add_out, command_parser, heading, write_report
from mien.align import CropSpec, crop, crop_matrix
from mien.bundle import find_bundle
from mien.engines import Engine, load_engine
from mien.types import EXPRESSIONS, Image
from mien.vision.detector import Detector, find_in_crop, load_detector
from mien_train.data.batches import Faces
from mien_train.data.landmarks import decode_image
from mien_train.data.sets import load_with_landmarks

CHUNK = 25


@dataclass(frozen=True)
class Reader:
    """Finds and reads faces. ``engines``: by precision, the cheapest one last."""

    detector: Detector
    engines: dict[str, Engine]
    spec: CropSpec

    def read(self, faces: Sequence[Shown], classes: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """The likeliest of ``classes`` of each face, -1 where none is found: (N,) by precision, and ``network``:
        the cheapest precision on crops by the landmarks of ``faces``, which are those of the clean picture."""
        found = [find_in_crop(self.detector, face.image) for face in faces]
        seen = np.array([one is not None for one in found])
        crops = [self._cut(f.image, one.box, one.landmarks) for f, one in zip(faces, found, strict=True) if one]
        made = {key: np.full(len(faces), -1) for key in self.engines}
        if crops:
            for key, engine in self.engines.items():
                made[key][seen] = guess(engine, np.stack(crops), classes)
        exact = np.stack([self._cut(face.image, face.box, face.landmarks) for face in faces])
        made["network"] = guess(list(self.engines.values())[-1], exact, classes)
        return made

    def _cut(self, image: Image, box: Any, landmarks: Any) -> Image:
        return crop(image, crop_matrix(self.spec, box, landmarks), self.spec.size)


def guess(engine: Engine, crops: Image, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the likeliest of ``classes``."""
    return np.asarray(classes[engine.run(crops)["expression"][:, classes].argmax(1)])


def chosen(item: Faces, count: int) -> NDArray[np.int64]:
    """Rows with a label whose face is found in the clean picture: ``count`` of them, evenly spread; 0 for all."""
    rows = np.flatnonzero((item.faces.expression >= 0) & item.landmarks.found)
    return rows[np.linspace(0, len(rows) - 1, count).astype(int)] if 0 < count < len(rows) else rows


def measure(reader: Reader, item: Faces, rows: NDArray[np.int64], workers: int) -> dict[str, Any]:
    """Figures of one set: ``clean`` accuracy by precision, and what each corruption costs in points."""
    labels = item.faces.expression[rows]
    # Sets without contempt are scored over their seven classes, as their literature does.
    classes = np.unique(item.faces.expression[item.faces.expression >= 0])
    marks = item.landmarks
    clean = [Shown(decode_image(item.faces.encoded(i)), marks.box[i], marks.points[i]) for i in rows]
    cases = [(kind, strength) for kind in KINDS for strength in kind.strengths]

    def one(start: int) -> list[dict[str, NDArray[np.int64]]]:
        faces = clean[start : start + CHUNK]
        made = [reader.read(faces, classes)]
        for kind, strength in cases:
            name = zlib.crc32(kind.name.encode())  # so that a face gets the same whatever else is measured
            random = [np.random.default_rng((name, int(row))) for row in rows[start : start + CHUNK]]
            changed = [kind.change(face, strength, rng) for face, rng in zip(faces, random, strict=True)]
            made.append(reader.read(changed, classes))
        return made

    starts = range(0, len(rows), CHUNK)
    with ThreadPoolExecutor(workers) as pool:
        answers = list(tqdm(pool.map(one, starts), item.faces.name, total=len(starts), mininterval=2))
    first = next(iter(reader.engines))
    whole = [
        {key: np.concatenate([a[i][key] for a in answers]) for key in answers[0][0]} for i in range(len(cases) + 1)
    ]
    right = [{key: values == labels for key, values in case.items()} for case in whole]
    return {
        "images": len(rows),
        "side of the face, px": round(float(np.median([face.side for face in clean])), 1),
        "clean accuracy": {key: interval(right[0][key]) for key in reader.engines},
        "cases": [
            {
                "kind": kind.name,
                "strength": strength,
                "found": round(float((whole[i][first] >= 0).mean()), 4),
                "loss": {key: lost(right[0][key], right[i][key]) for key in reader.engines},
                "network alone": lost(right[0]["network"], right[i]["network"]),
            }
            for i, (kind, strength) in enumerate(cases, 1)
        ],
    }


def interval(right: NDArray[np.bool_]) -> list[float]:
    """Share of ``right`` with its 95 % interval (Wilson 1927)."""
    n, p, z = len(right), float(right.mean()), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return [round(value, 4) for value in (p, middle - half, middle + half)]


def lost(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> list[float]:
    """Points of accuracy lost on the same faces, with the 95 % interval of paired differences."""
    gap = 100 * (before.astype(float) - after)
    half = 1.96 * float(gap.std()) / len(gap) ** 0.5
    return [round(float(value), 2) for value in (gap.mean(), gap.mean() - half, gap.mean() + half)]


def main() -> None:
    parser = command_parser("accuracy.robustness", __doc__)
    add_data(parser)
    add_model(parser)
    parser.add_argument("--faces", type=int, default=600, help="of each set, evenly spread; 0: all (default: 600)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="threads (default: one a core)")
    parser.add_argument("--card", action="store_true", help="write the worst cases into the card of the bundle")
    add_out(parser, "robustness.json")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    bundle = find_bundle(args.model)
    if bundle.card.labels != EXPRESSIONS:
        parser.error(f"{args.model} does not have the classes of the data sets")
    order = sorted(bundle.precisions, key=["fp32", "fp16", "int8"].index)
    engines = {key: load_engine(bundle.model_file(key), device="cpu", threads=1) for key in order}
    reader = Reader(load_detector(min_score=0.5), engines, bundle.card.crop)
    report: dict[str, Any] = {
        **heading(f"{parser.prog} --data FACES --model {args.model} --faces {args.faces}", "onnxruntime"),
        "model": bundle.card.name,
        "precisions": order,
        "network alone": f"in {order[-1]}, on crops by the landmarks of the clean picture",
        "sets": {},
    }
    for name in TEST_SETS:
        item = load_with_landmarks(name, args.data)
        report["sets"][name] = measure(reader, item, chosen(item, args.faces), args.workers)
    report["limits"] = limits(report)
    write_report(args.out, report)
    plot(report, args.out.with_suffix(".png"))
    if args.card:
        write_card(report, bundle.folder)
    print(table(report))
    print("\nPoints of accuracy lost, mean of the sets, for the model card:\n" + "\n".join(report["limits"]))


if __name__ == "__main__":
    main()
