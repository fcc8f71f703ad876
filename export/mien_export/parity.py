"""Proof that an exported file computes what the trained network computes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from mien.align import CropSpec, crop, crop_matrix
from mien.detector import load_detector
from mien.errors import InputError, MienError
from mien.faces import Floats, Image

TOLERANCE = 1e-4
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class ParityError(MienError, ArithmeticError):
    """The exported file and the trained network disagree."""


@dataclass(frozen=True)
class Parity:
    """Largest absolute differences on ``crops`` crops."""

    crops: int
    expression: float
    affect: float
    embedding: float


Outputs = tuple[Floats, Floats, Floats]


def compare(reference: Outputs, exported: Outputs, tolerance: float = TOLERANCE) -> Parity:
    """Raises ParityError where a probability, valence or arousal differs by more than ``tolerance``."""
    gaps = [float(np.abs(a - b).max()) for a, b in zip(reference, exported, strict=True)]
    parity = Parity(len(reference[0]), *gaps)
    # Written so that NaN fails too.
    if not (parity.expression <= tolerance and parity.affect <= tolerance):
        raise ParityError(
            f"the exported model differs from the trained one by {parity.expression:.2e} in probability and "
            f"{parity.affect:.2e} in affect (at most {tolerance:g}); try another --opset, and report this"
        )
    return parity


def face_crops(source: Path | None, spec: CropSpec, limit: int = 256) -> Image:
    """Real crops (N, size, size, 3) to compare on: the faces of a folder of pictures, or of the astronaut portrait.

    Each face is also taken mirrored, darker and turned, so that one portrait gives several different crops.
    """
    paths = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES) if source else [_astronaut()]
    detector = load_detector()
    crops: list[Image] = []
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            continue
        picture = np.asarray(image, dtype=np.uint8)
        for face in detector.detect(picture):
            for angle in (-15, 0, 15):
                turn = cv2.getRotationMatrix2D(((spec.size - 1) / 2,) * 2, angle, 1.0)
                matrix = turn @ np.vstack([crop_matrix(spec, face.box, face.landmarks), [0, 0, 1]])
                plain = crop(picture, matrix, spec.size)
                crops += [plain, np.ascontiguousarray(plain[:, ::-1]), plain // 2]
        if len(crops) >= limit:
            break
    if not crops:
        raise InputError(f"no face found in {source or paths[0]}; pass --data FOLDER with pictures of faces")
    return np.stack(crops[:limit])


def _astronaut() -> Path:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise InputError("pass --data FOLDER with pictures of faces, or run: pip install scikit-image")
    return Path(spec.origin).parent / "data" / "astronaut.png"
