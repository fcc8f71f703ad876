"""The packaged bundle on the held-out test sets, through ONNX Runtime, by two ways.

    python benchmarks/accuracy.py --data FACES

``crops``: the data sets' faces cut by ``mien.align`` from cached landmarks, as in training. ``frames``: the whole way
that a user's picture takes. Each picture is set, 160 px large and with its border repeated, into a 640 x 360 frame, and
``Recognizer.predict`` must find the face before it reads it; a face not found counts as wrong.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mien import Recognizer
from mien.faces import Image
from mien_train.batches import Faces
from mien_train.landmarks import decode_image
from mien_train.metrics import expression_metrics
from mien_train.sets import load_with_landmarks

SETS = ("rafdb/test", "ferplus/test", "affectnet-subset/test")
BATCH = 64


def by_crops(recognizer: Recognizer, item: Faces) -> NDArray[np.float64]:
    """(N, 8) probabilities."""
    spec, parts = recognizer.card.crop, []
    for start in tqdm(range(0, len(item.faces), BATCH), f"{item.faces.name} crops", mininterval=2):
        rows = range(start, min(start + BATCH, len(item.faces)))
        crops = np.stack([item.crop(i, spec) for i in rows])
        parts.append(recognizer._model.engine.run(crops)["expression"])
    return np.concatenate(parts).astype(np.float64)


def in_frame(picture: Image) -> Image:
    """A picture of one face -> uint8 BGR (360, 640, 3) with that face in the middle."""
    big = cv2.resize(picture, (160, 160), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.copyMakeBorder(big, 100, 100, 240, 240, cv2.BORDER_REPLICATE), dtype=np.uint8)


def by_frames(recognizer: Recognizer, item: Faces) -> NDArray[np.float64]:
    """(N, 8) probabilities; zeros where no face was found."""
    made = np.zeros((len(item.faces), len(recognizer.labels)))
    for i in tqdm(range(len(made)), f"{item.faces.name} frames", mininterval=2):
        faces = recognizer.predict(in_frame(decode_image(item.faces.encoded(i))))
        if faces:
            made[i] = list(faces[0].expression.probabilities.values())
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "accuracy.json")
    args = parser.parse_args()
    recognizer = Recognizer(args.model, device="cpu", precision="fp32")
    report: dict[str, object] = {
        "command": "python benchmarks/accuracy.py --data FACES",
        "model": recognizer.card.name,
        "versions": {name: version(name) for name in ("mien", "onnxruntime", "numpy")},
    }
    for name in SETS:
        item = load_with_landmarks(name, args.data)
        item = item.subset(item.faces.expression >= 0)
        labels = item.faces.expression
        # Sets without contempt are scored over their seven classes, as their literature does.
        present = np.isin(np.arange(len(recognizer.labels)), labels)
        for way, predict in (("crops", by_crops), ("frames", by_frames)):
            made = predict(recognizer, item) * present
            found = made.sum(1) > 0
            made[found] /= made[found].sum(1, keepdims=True)
            # An all-zero row must be wrong whatever its label: give it a class that is not the true one.
            made[~found, (labels[~found] + 1) % made.shape[1]] = 1e-9
            figures = expression_metrics(made, labels)
            figures["faces found"] = round(float(found.mean()), 4)
            report[f"{name}, {way}"] = figures
            print(
                f"{name} {way}: accuracy {figures['accuracy']:.4f} {figures['intervals']['accuracy']}, "
                f"macro-F1 {figures['macro_f1']:.4f}, ECE {figures['calibration_error']:.4f}, found {found.mean():.4f}"
            )
    args.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
