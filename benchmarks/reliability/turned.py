"""Faces that lie or stand on their heads: how often they are found, and whether they are read as what they show.

    python -m benchmarks.reliability.turned --data FACES

Each face of a sample is laid into a larger picture, which is turned about its middle and then read by the packaged
model: ``before`` with a detector that takes every face for an upright one, ``after`` as the runtime does. Faces of
whole test sets, upright, tell what that costs them: how many are looked at again, and whose label changes. Writes
``benchmarks/results/turned.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common import TEST_SETS, add_data, add_model, add_out, command_parser, heading, write_report
from mien.align import crop, crop_matrix, roll
from mien.bundle import find_bundle
from mien.engines import load_engine
from mien.sources.demo import demo_picture
from mien.types import EXPRESSIONS, UNCERTAIN, Detection, Expression, Floats, Image
from mien.vision.detector import Detector, load_detector
from mien.vision.expression import ExpressionModel
from mien.vision.orientation import DOUBTFUL_SCORE, LEAN_RADIANS, SURE_SCORE
from mien_train.data.landmarks import decode_image
from mien_train.data.sets import load_faces

SAMPLES = ("rafdb/test", "taiwan/test")
"""Tight crops of the wild, and heads with shoulders."""
ANGLES = range(0, 360, 30)
SHOWN, PICTURE = 320, 480
"""Longer side in px of a face's picture, and side of the larger one that it is laid into."""


class Reader:
    """Finds and reads the face in the middle of a picture, in both ways."""

    def __init__(self, model: str):
        bundle = find_bundle(model)
        self.model = ExpressionModel(bundle.card, load_engine(bundle.model_file("fp32"), device="cpu"))
        self.ways = {"before": load_detector(turned=False), "after": load_detector()}

    def read(self, picture: Image) -> dict[str, tuple[Detection, Expression] | None]:
        return {name: self._read(detector, picture) for name, detector in self.ways.items()}

    def _read(self, detector: Detector, picture: Image) -> tuple[Detection, Expression] | None:
        middle = np.array(picture.shape[1::-1], np.float32) / 2
        found = [face for face in detector.detect(picture) if _holds(face.box, middle)]
        if not found:
            return None
        spec = self.model.card.crop
        matrix = crop_matrix(spec, found[0].box, found[0].landmarks)
        return found[0], self.model.predict(crop(picture, matrix, spec.size)[None])[0][0]


def scene(face: Image) -> Image:
    """A picture of a face in the middle of a larger one, over which its border repeats."""
    scale = SHOWN / max(face.shape[:2])
    size = round(face.shape[1] * scale), round(face.shape[0] * scale)
    big = cv2.resize(face, size, interpolation=cv2.INTER_LINEAR)
    (left, top), (right, bottom) = [[(PICTURE - side + i) // 2 for side in size] for i in (0, 1)]
    return np.asarray(cv2.copyMakeBorder(big, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)


def turned(picture: Image, angle: float) -> Image:
    """Clockwise, by degrees, about its middle."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -angle, 1)
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def figures(read: Sequence[tuple[Detection, Expression] | None], truth: NDArray[np.int64], angle: float) -> Any:
    """Of one way at one angle. ``follows``: how many of the faces found have landmarks within 30 degrees of it."""
    known = [(item, EXPRESSIONS[label]) for item, label in zip(read, truth, strict=True) if item]
    off = [abs((np.degrees(roll(face.landmarks)) - angle + 180) % 360 - 180) for (face, _), _ in known]  # type: ignore[arg-type]
    mean = lambda values: round(float(np.mean(values)), 3) if known else None  # noqa: E731
    return {
        "found": round(len(known) / len(read), 3),
        "follows": mean([gap < 30 for gap in off]),
        "accuracy": mean([said.label == label for (_, said), label in known]),
        "confidence": mean([said.confidence for (_, said), _ in known]),
        "uncertain": mean([said.label == UNCERTAIN for (_, said), _ in known]),
    }


def by_angle(reader: Reader, root: Path, name: str, count: int, seed: int) -> dict[str, Any]:
    faces = load_faces(name, root)
    known = np.flatnonzero(faces.expression >= 0)
    rows = np.sort(np.random.default_rng(seed).choice(known, min(count, len(known)), replace=False))
    scenes = [scene(decode_image(faces.encoded(int(row)))) for row in rows]
    made: dict[str, Any] = {}
    for angle in tqdm(ANGLES, name):
        read = [reader.read(turned(picture, angle)) for picture in scenes]
        made[str(angle)] = {
            way: figures([item[way] for item in read], faces.expression[rows], angle) for way in reader.ways
        }
    return made


def upright(reader: Reader, root: Path, name: str) -> dict[str, Any]:
    """What a whole set of upright faces pays."""
    faces = load_faces(name, root)
    known = np.flatnonzero(faces.expression >= 0)
    read = [reader.read(scene(decode_image(faces.encoded(int(row))))) for row in tqdm(known, name)]
    found = [
        (item["before"], item["after"], EXPRESSIONS[faces.expression[row]])
        for item, row in zip(read, known, strict=True)
    ]
    both = [(old, new, label) for old, new, label in found if old and new]
    angles = np.array([roll(old[0].landmarks) for old, _, _ in both])  # type: ignore[arg-type]
    scores = np.array([old[0].score for old, _, _ in both])
    differ = [(old, new, label) for old, new, label in both if not np.array_equal(old[0].box, new[0].box)]
    return {
        "faces": len(known),
        "found": len(both),
        "looked at upside down": int(
            ((scores >= DOUBTFUL_SCORE) & (scores < SURE_SCORE) & (np.abs(angles) <= LEAN_RADIANS)).sum()
        ),
        "looked at in seven turns": int(((scores < DOUBTFUL_SCORE) | (np.abs(angles) > LEAN_RADIANS)).sum()),
        "cut turned by more than 60 degrees": _turned(differ, np.pi / 3, np.inf),
        "cut turned by 26 to 60 degrees": _turned(differ, 0, np.pi / 3),
        "right before, wrong after": sum(o[1].label == t != n[1].label for o, n, t in differ),
        "wrong before, right after": sum(o[1].label != t == n[1].label for o, n, t in differ),
        "accuracy before": round(float(np.mean([old[1].label == label for old, _, label in both])), 4),
        "accuracy after": round(float(np.mean([new[1].label == label for _, new, label in both])), 4),
    }


def _turned(differ: Sequence[tuple[Any, Any, str]], low: float, high: float) -> int:
    return sum(low < abs(roll(new[0].landmarks)) <= high for _, new, _ in differ)


def portrait(reader: Reader) -> dict[str, Any]:
    """scikit-image's astronaut, who smiles."""
    picture = np.asarray(cv2.imread(str(demo_picture())), np.uint8)
    middle = np.array([222.5, 119.5])
    around = picture[: 2 * int(middle[1]), int(middle[0] - middle[1]) : int(middle[0] + middle[1])]
    around = np.asarray(cv2.copyMakeBorder(around, 100, 100, 100, 100, cv2.BORDER_REPLICATE), np.uint8)
    made: dict[str, Any] = {}
    for angle in ANGLES:
        read = reader.read(turned(around, angle))
        made[str(angle)] = {
            way: [item[1].label, round(item[1].confidence, 3)] if item else None for way, item in read.items()
        }
    return made


def _holds(box: Floats, point: NDArray[np.float32]) -> bool:
    return bool((box[:2] < point).all() and (point < box[2:]).all())


def main() -> None:
    parser = command_parser("reliability.turned", __doc__)
    add_data(parser)
    add_model(parser)
    parser.add_argument("--count", type=int, default=300, help="faces of each set that are turned (default: 300)")
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser, "turned.json")
    args = parser.parse_args()
    reader = Reader(args.model)
    report: dict[str, Any] = {
        **heading(f"{parser.prog} --data FACES --count {args.count} --seed {args.seed}", "onnxruntime"),
        "model": reader.model.card.name,
        "portrait": portrait(reader),
    }
    report["turned"] = {name: by_angle(reader, args.data, name, args.count, args.seed) for name in SAMPLES}
    report["upright"] = {name: upright(reader, args.data, name) for name in TEST_SETS}
    write_report(args.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
