"""Decoded faces of a data set, cut out once with a margin and kept in one memory-mapped file.

Decoding a picture takes longer than cutting and augmenting a crop of it, and training draws every picture many times.
The cut-out is a rectangle without resampling, so a crop from it is the same as from the picture. Only faces that are
much larger than any network's crop are averaged down, by a whole factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mien.files import replacing
from mien.types import Floats, Image
from mien_train.data.datasets import FaceSet
from mien_train.data.landmarks import Landmarks, cache_file, decode_image

MARGIN = 2.0
"""Side of the cut-out in sides of the face. Crops need up to 1.2, and more where augmentation turns or shifts them."""
LARGE = 256
"""Face side in px from which pictures are averaged down, to between this and twice as much."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """Cut-outs of N pictures, one after another in the file ``path``, uint8 BGR.

    ``start`` (N,) bytes, ``shape`` (N, 2) height and width in px, ``marks``: boxes and landmarks in px of the cut-outs.
    """

    path: Path
    start: NDArray[np.int64]
    shape: NDArray[np.int64]
    marks: Landmarks

    def picture(self, i: int) -> Image:
        """Cut-out ``i``, uint8 BGR (H, W, 3), read from disk as it is used."""
        (height, width), start = self.shape[i].tolist(), int(self.start[i])
        return _mapped(self.path)[start : start + 3 * height * width].reshape(height, width, 3)

    def subset(self, chosen: NDArray[Any]) -> Pixels:
        return Pixels(self.path, self.start[chosen], self.shape[chosen], self.marks.subset(chosen))


def cut_pixels(faces: FaceSet, marks: Landmarks, *, progress: bool = True) -> Pixels:
    """Decode and cut out every picture of a whole set, or open what an earlier call wrote.

    ``marks``: the landmarks of ``faces``, row by row. The file lies in the cache folder beside the landmarks.
    """
    index = cache_file(faces, f"pixels {MARGIN} {LARGE} v1", ".pixels.npz")
    if not index.is_file():
        _write(faces, marks, index, progress)
    with np.load(index) as stored:
        moved = Landmarks(stored["box"], stored["points"], marks.found)
        return Pixels(index.with_suffix(".bin"), stored["start"], stored["shape"], moved)


def _write(faces: FaceSet, marks: Landmarks, index: Path, progress: bool) -> None:
    count = len(faces)
    start, shape = np.zeros(count, np.int64), np.zeros((count, 2), np.int64)
    box, points = marks.box.copy(), marks.points.copy()
    index.parent.mkdir(parents=True, exist_ok=True)
    with replacing(index.with_suffix(".bin")) as aside, aside.open("wb") as file:
        for i in tqdm(range(count), f"pixels of {faces.name}", unit="face", disable=not progress, mininterval=1.0):
            part, corner, factor = _cut(decode_image(faces.encoded(i)), marks.box[i])
            start[i], shape[i] = file.tell(), part.shape[:2]
            # Pixel centers lie at whole numbers, so the center of a block of ``factor`` pixels lies at (factor - 1) /
            # 2.
            shift = corner + (factor - 1) / 2
            box[i] = (box[i] - np.tile(shift, 2)) / factor
            points[i] = (points[i] - shift) / factor
            file.write(part.tobytes())
    with replacing(index) as aside:  # last, since it says that the other is there
        np.savez(aside, start=start, shape=shape, box=box, points=points)


def _cut(image: Image, box: Floats) -> tuple[Image, NDArray[np.int64], int]:
    """The part of a picture around a face, its corner (2,) in px, and the factor by which it was averaged down."""
    size = np.array(image.shape[1::-1])
    side = float(box[2] - box[0] + box[3] - box[1]) / 2
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    factor = max(1, int(side / LARGE))
    low = np.clip(np.floor(middle - side * MARGIN / 2).astype(int), 0, size - 1)
    high = np.clip(np.ceil(middle + side * MARGIN / 2).astype(int) + 1, low + 1, size)
    width, height = np.maximum(1, (high - low) // factor)
    part = image[low[1] : low[1] + height * factor, low[0] : low[0] + width * factor]
    if factor > 1:
        part = np.asarray(cv2.resize(part, (int(width), int(height)), interpolation=cv2.INTER_AREA), np.uint8)
    return part, low.astype(np.int64), factor


@lru_cache(maxsize=64)
def _mapped(path: Path) -> NDArray[np.uint8]:
    """The file by its path: a new worker of a data loader opens it, instead of being sent its content."""
    return np.memmap(path, np.uint8, "r")
