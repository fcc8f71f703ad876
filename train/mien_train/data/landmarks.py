"""Boxes and landmarks of every image of a data set, detected once and cached."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mien.errors import InputError
from mien.files import cache_folder, replacing
from mien.types import Floats, Image
from mien.vision.detector import CROP_BORDER, CROP_SIDE_PX, find_in_crop, load_detector
from mien_train.data.datasets import FaceSet

LONGEST = 200
"""Bytes of a set's name in the name of a file. The rest is for a hash, a suffix and the number of the process."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """``box`` (N, 4), ``points`` (N, 5, 2) in px of the stored image, ``found`` (N,) bool."""

    box: Floats
    points: Floats
    found: NDArray[np.bool_]

    def at(self, i: int) -> tuple[Floats, Floats | None]:
        """Box and landmarks of image ``i``, the landmarks None where no face was found."""
        return self.box[i], self.points[i] if self.found[i] else None

    def subset(self, chosen: NDArray[Any]) -> Landmarks:
        return Landmarks(self.box[chosen], self.points[chosen], self.found[chosen])


def decode_image(data: bytes, name: str = "a picture of the data set") -> Image:
    """Encoded bytes -> uint8 BGR (H, W, 3). Raises InputError, which names ``name``, where it cannot be decoded."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise InputError(f"{name} cannot be decoded as a picture; remove it, or save it as JPEG or PNG")
    return np.asarray(image, dtype=np.uint8)


def find_landmarks(faces: FaceSet, *, progress: bool = True) -> Landmarks:
    """Detect the face of every image, or read what an earlier call found.

    Where none is found, the box is the median box of the set, as a fraction of the picture. Each set was cropped by one
    rule, so this is a better guess than the whole picture.
    """
    cache = cache_file(faces, "v1", ".npz")
    if cache.is_file():
        with np.load(cache) as stored:
            return Landmarks(stored["box"], stored["points"], stored["found"])
    detector = load_detector(min_score=0.5, turned=False)  # the faces of data sets stand upright
    count = len(faces)
    box, points = np.zeros((count, 4), np.float32), np.zeros((count, 5, 2), np.float32)
    found, sizes = np.zeros(count, bool), np.zeros((count, 2), np.float32)
    for i in tqdm(range(count), f"faces of {faces.name}", unit="face", disable=not progress, mininterval=1.0):
        image = decode_image(faces.encoded(i), faces.place(i))
        sizes[i] = image.shape[1], image.shape[0]
        best = find_in_crop(detector, image)
        if best is not None and best.landmarks is not None:
            box[i], points[i], found[i] = best.box, best.landmarks, True
    whole = np.array([0, 0, 1, 1], np.float32)
    relative = box[found] / np.tile(sizes[found], 2)
    box[~found] = (np.median(relative, axis=0) if found.any() else whole) * np.tile(sizes[~found], 2)
    cache.parent.mkdir(parents=True, exist_ok=True)
    with replacing(cache) as aside:
        np.savez(aside, box=box, points=points, found=found)
    return Landmarks(box, points, found)


def cache_file(faces: FaceSet, rule: str, suffix: str) -> Path:
    """The cache file of something computed from a set. Its name contains a hash of every image, of the detector and of
    ``rule``, the version of the computation, so that nothing outdated is read."""
    digest = hashlib.sha256(f"{CROP_SIDE_PX} {CROP_BORDER} {rule}".encode())
    digest.update((files("mien") / "models" / "yunet" / "yunet.onnx").read_bytes())
    for i in range(len(faces)):
        digest.update(hashlib.sha1(faces.encoded(i)).digest())
    return cache_folder() / "landmarks" / f"{file_stem(faces.name)}-{digest.hexdigest()[:16]}{suffix}"


def file_stem(name: str) -> str:
    """A set's name as the start of a file's name; of a long path only the end, since systems allow 255 bytes."""
    return os.fsencode(name.replace("/", "-").strip("-"))[-LONGEST:].decode("utf-8", "ignore")
