"""Bundles in every precision and engine that is installed, on the held-out test sets, by two ways.

    python -m benchmarks.accuracy.held_out --data FACES
    python -m benchmarks.accuracy.held_out runs/forms runs/distill-m/bundle --data FACES

``crops``: the data sets' faces cut by ``mien.align`` from cached landmarks, as in training; where no face was found,
the set's median box. ``frames``: the whole way that a user's picture takes. Each picture is set, 160 px large and with
its border repeated, into a 640 x 360 frame, and the detector must find the face before it is read; a face not found
counts as wrong. Pictures are read, searched and cropped once for all engines. Writes
``benchmarks/results/accuracy.json`` and a plot beside what other projects published (``published.toml``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.accuracy.held_out_plot import plot
from benchmarks.common import TEST_SETS, add_data, add_out, command_parser, heading, write_report
from mien.align import CropSpec, crop, crop_matrix
from mien.bundle import Bundle, find_bundle
from mien.engines import Engine, has_library, load_engine
from mien.engines.golden import agrees, check
from mien.engines.selection import AUTOMATIC
from mien.errors import EngineUnavailable, ModelInvalid
from mien.types import EXPRESSIONS, Image
from mien.vision.detector import Detector, load_detector
from mien_train.data.batches import Faces
from mien_train.data.datasets import data_root
from mien_train.data.landmarks import decode_image
from mien_train.data.sets import load_with_landmarks
from mien_train.evaluation.metrics import expression_metrics

SETS = (*TEST_SETS, "affectnet-va/train")
"""The last one holds images of AffectNet's own validation set, whose expressions no student learned."""
LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "openvino")
BATCH = 64
ENLARGED, FRAME = 160, (640, 360)
"""Px of a picture in its frame, and of the frame."""


@dataclass(frozen=True, eq=False)
class Cut:
    """Crops (N, S, S, 3) of all pictures of a set; ``found`` (N,) bool: False where the crop is blank."""

    crops: Image
    found: NDArray[np.bool_]


def in_frame(picture: Image) -> Image:
    """A picture of one face -> uint8 BGR (360, 640, 3) with that face in the middle."""
    big = cv2.resize(picture, (ENLARGED, ENLARGED), interpolation=cv2.INTER_LINEAR)
    x, y = (FRAME[0] - ENLARGED) // 2, (FRAME[1] - ENLARGED) // 2
    return np.asarray(cv2.copyMakeBorder(big, y, y, x, x, cv2.BORDER_REPLICATE), dtype=np.uint8)


def cut_all(item: Faces, specs: set[CropSpec], detector: Detector) -> dict[str, dict[CropSpec, Cut]]:
    """Both ways, in every crop that a bundle asks for."""
    count = len(item.faces)
    found = {"crops": np.ones(count, bool), "frames": np.zeros(count, bool)}
    made = {
        way: {spec: Cut(np.zeros((count, spec.size, spec.size, 3), np.uint8), seen) for spec in specs}
        for way, seen in found.items()
    }
    for i in tqdm(range(count), item.faces.name, unit="face", mininterval=2):
        picture = decode_image(item.faces.encoded(i))
        box, points = item.landmarks.at(i)
        for spec, cut in made["crops"].items():
            crop(picture, crop_matrix(spec, box, points), spec.size, cut.crops[i])
        frame = in_frame(picture)
        faces = detector.detect(frame)
        if faces:
            found["frames"][i] = True
            for spec, cut in made["frames"].items():
                crop(frame, crop_matrix(spec, faces[0].box, faces[0].landmarks), spec.size, cut.crops[i])
    return made


def probabilities(engine: Engine, cut: Cut, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, 8) over the classes that ``labels`` have: sets without contempt are scored over their seven, as their
    literature does. Where no face was found, all is on a class that is wrong."""
    parts = [engine.run(cut.crops[start : start + BATCH])["expression"] for start in range(0, len(cut.crops), BATCH)]
    made = np.concatenate(parts).astype(np.float64)
    present = np.unique(labels)
    made *= np.isin(np.arange(made.shape[1]), present)
    made /= made.sum(1, keepdims=True)
    wrong = present[(np.searchsorted(present, labels) + 1) % len(present)]
    # Of no confidence: a user is told of no face, not of a wrong one, so the calibration is not to blame.
    made[~cut.found] = 1e-9 * np.eye(made.shape[1])[wrong[~cut.found]]
    return made


def engines_of(bundle: Bundle) -> tuple[dict[tuple[str, str], Engine], dict[str, str]]:
    """By device and precision, all that opens here; and why others do not."""
    opened, refused = {}, {}
    for device in (name for name in AUTOMATIC if has_library(name)):
        for precision in bundle.precisions:
            try:
                engine = load_engine(bundle.model_file(precision, device), device=device, precision=precision)
                differences = check(engine, bundle)  # runs it, too
            except (EngineUnavailable, ModelInvalid) as error:
                refused[f"{device} {precision}"] = str(error)
                continue
            if differences is None or agrees(differences, precision):
                opened[device, precision] = engine
            else:  # device auto leaves it out as well
                refused[f"{device} {precision}"] = f"differs from the golden outputs: {differences}"
    return opened, refused


def measure(
    item: Faces, bundles: dict[str, Bundle], engines: dict[str, Any], detector: Detector
) -> list[dict[str, Any]]:
    """A row a way, bundle, engine and precision."""
    labels = item.faces.expression
    rows: list[dict[str, Any]] = []
    cuts = cut_all(item, {bundle.card.crop for bundle in bundles.values()}, detector)
    for way, by_spec in cuts.items():
        for name, bundle in bundles.items():
            cut = by_spec[bundle.card.crop]
            for (_, precision), engine in engines[name].items():
                figures = expression_metrics(probabilities(engine, cut, labels), labels)
                found = round(float(cut.found.mean()), 4)
                head = {"set": item.faces.name, "way": way, "bundle": name, "engine": engine.name}
                rows.append({**head, "precision": precision, "faces found": found, **figures})
                print(line(rows[-1]), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    """A row for the terminal."""
    low, high = row["intervals"]["accuracy"]
    return (
        f"{row['set']:22} {row['way']:7} {row['bundle']:24} {row['engine']:16} {row['precision']:5} "
        f"accuracy {row['accuracy']:.4f} [{low:.4f}, {high:.4f}]  macro-F1 {row['macro_f1']:.4f}  "
        f"ECE {row['calibration_error']:.4f}  found {row['faces found']:.4f}"
    )


def some(item: Faces, count: int) -> Faces:
    """The labeled images, or ``count`` of them, evenly spread; 0 for all."""
    rows = np.flatnonzero(item.faces.expression >= 0)
    return item.subset(rows[np.linspace(0, len(rows) - 1, count).astype(int)] if 0 < count < len(rows) else rows)


def main() -> None:
    parser = command_parser("accuracy.held_out", __doc__)
    parser.add_argument("bundles", nargs="*", default=["default"])
    add_data(parser, required=False)
    parser.add_argument("--faces", type=int, default=0, help="of each set, evenly spread (default: 0, all)")
    add_out(parser, "accuracy.json")
    parser.add_argument("--replot", action="store_true", help="draw the plot of --out again, and measure nothing")
    args = parser.parse_args()
    if not args.replot:
        args.data = data_root(args.data)
        bundles = {name: find_bundle(name) for name in args.bundles}
        for name, bundle in bundles.items():
            if bundle.card.labels != EXPRESSIONS:
                parser.error(f"{name} does not have the classes of the data sets")
        opened = {name: engines_of(bundle) for name, bundle in bundles.items()}
        report: dict[str, Any] = {
            **heading(f"{parser.prog} {' '.join(args.bundles)} --data FACES --faces {args.faces}", *LIBRARIES),
            "bundles": {
                name: {
                    "model": bundle.card.name,
                    "px": bundle.card.crop.size,
                    "gmac": round(bundle.card.macs / 1e9, 4),
                    "refused": opened[name][1],
                }
                for name, bundle in bundles.items()
            },
            "rows": [],
        }
        engines, detector = {name: made for name, (made, _) in opened.items()}, load_detector()
        for name in SETS:
            report["rows"] += measure(
                some(load_with_landmarks(name, args.data), args.faces), bundles, engines, detector
            )
        write_report(args.out, report)
    plot(json.loads(args.out.read_text()), args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
