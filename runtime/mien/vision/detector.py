"""Face detection with YuNet (Wu, Peng & Yu 2023, Machine Intelligence Research 20:656-665)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.align import stretch_contrast, turned_window, window
from mien.engines import Engine, has_library, load_engine
from mien.errors import EngineUnavailable, ModelNotFound
from mien.per_process import PerProcess
from mien.types import Detection, Floats, Image
from mien.vision.orientation import LEAN_RADIANS, Found, as_found, righted_face, turned_back

STRIDES = (8, 16, 32)
MIN_FACE_PX = 16
"""YuNet misses many faces that are smaller than this in the network's input."""
MIN_PICTURE_PX = 160
"""Pictures whose longer side is shorter than this are enlarged to it before the search."""
WINDOW_PX, WINDOW_SIDES = 160, 1.5
"""Size of the window in which an expected face is searched for, and its side in sides of the face."""
SMALL_FACE_PX, SMALL_WINDOW_PX = 48, 96
"""The score of a face that is smaller than this in the network's input says little about its orientation. Such faces
are searched for again in windows of this size, which cost half as much as the usual ones: a crowd has many."""
CROP_SIDE_PX, CROP_BORDER = 160, 0.3
"""How ``find_in_crop`` prepares a picture: its longer side in px, and the border as a fraction of that."""


class Detector:
    """Finds faces in pictures of any size. It keeps no state between calls, so threads may share it."""

    def __init__(
        self,
        engine: Engine,
        *,
        search_size: int = 640,
        min_face: float = 0.0,
        min_score: float = 0.6,
        at_once: int = 1,
        turned: bool = True,
    ):
        """``search_size``: a picture is shrunk before the search until its longer side has this many px.

        ``min_face``: if above 0, faces smaller than this (px of the original picture) are not reported, and the picture
        is shrunk only so far that faces of this size can still be found. ``min_score``: in [0, 1]. ``at_once``: number
        of windows that are searched in parallel, each on its own thread. ``turned``: whether to search again for faces
        that may lie on their side or be upside down.
        """
        self.engine = engine
        self.search_size = search_size
        self.min_face = min_face
        self.min_score = min_score
        self.turned = turned
        self._workers = PerProcess(partial(ThreadPoolExecutor, at_once, "mien windows")) if at_once > 1 else None

    def detect(self, image: Image, known: Sequence[tuple[Floats, float]] = ()) -> list[Detection]:
        """uint8 BGR (H, W, 3) -> detections in px of that picture, the largest face first.

        A face that may be turned is also searched for in turned windows, and its landmarks then follow the turn.
        ``known``: boxes (4,) of turned faces and their angles (``mien.align.roll``), which the search of a whole
        picture usually misses.
        """
        small, scale = self._fit(image)
        padded = pad_to_stride(stretch_contrast(small))
        boxes, landmarks, scores = decode(self.engine.run(padded[None]), padded.shape[1], self.min_score)
        both = np.concatenate([scale, scale])
        found = self._detections((boxes / both, landmarks / scale, scores))
        righted = [self._righted(image, face, scale) for face in found] if self.turned else found
        if righted == found and not known:
            return found
        return self._detections(*map(as_found, righted), *(self._look(image, *one) for one in known))

    def detect_near(
        self, image: Image, expected: Sequence[Floats], angles: Sequence[float] | None = None
    ) -> list[Detection]:
        """Like ``detect``, but only in a small window around each box (4,) where a face is expected.

        A face may be off by up to a quarter of its side. Each box costs about a tenth of the search of a whole 640 x
        360 picture. ``angles``: by how much each face is turned (``mien.align.roll``); upright by default.
        """
        angles = [0.0] * len(expected) if angles is None else [a if abs(a) > LEAN_RADIANS else 0.0 for a in angles]
        if len(expected) > 1 and self._workers:
            found = list(self._workers().map(self._look, repeat(image), expected, angles))
        else:
            found = [self._look(image, *one) for one in zip(expected, angles, strict=True)]
        return self._detections(*found)

    def _righted(self, image: Image, face: Detection, scale: Floats) -> Detection:
        """A face found in a picture of that scale (2,), searched for again if it may be turned."""
        small = float(((face.box[2:] - face.box[:2]) * scale).max()) < SMALL_FACE_PX
        return righted_face(face, partial(self._look, image, size=SMALL_WINDOW_PX if small else WINDOW_PX), small)

    def _look(self, image: Image, box: Floats, angle: float = 0.0, size: int = WINDOW_PX) -> Found:
        """Boxes, landmarks and scores in a window of ``size`` px around one box, turned back by ``angle``."""
        side = WINDOW_SIDES * max(float((box[2:] - box[:2]).max()), 8.0)
        middle = np.asarray((box[:2] + box[2:]) / 2, dtype=np.float32)
        if angle:
            part, matrix = turned_window(image, middle, side, size, angle)
            return turned_back(decode(self.engine.run(stretch_contrast(part)[None]), size, self.min_score), matrix)
        part, corner, zoom = window(image, middle, side, size)
        boxes, landmarks, scores = decode(self.engine.run(stretch_contrast(part)[None]), size, self.min_score)
        both = np.concatenate([corner, corner], dtype=np.float32)
        points = landmarks / zoom + corner
        return np.asarray(boxes / zoom + both, np.float32), np.asarray(points, np.float32), scores

    def _detections(self, *parts: Found) -> list[Detection]:
        """The detections without duplicates and faces that are too small, the largest first."""
        if not parts:
            return []
        boxes, landmarks, scores = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        found = [
            Detection(boxes[i], landmarks[i], float(scores[i]))
            for i in suppress(boxes, scores)
            if float(min(boxes[i, 2:] - boxes[i, :2])) >= self.min_face
        ]
        return sorted(found, key=lambda face: -float((face.box[2:] - face.box[:2]).prod()))

    def _fit(self, image: Image) -> tuple[Image, Floats]:
        """Shrink a picture for the search, or enlarge a tiny one. Returns it with its scale (2,) in x and y."""
        height, width = image.shape[:2]
        longer = max(height, width)
        factor = MIN_FACE_PX / self.min_face if self.min_face > 0 else self.search_size / longer
        factor = max(min(factor, 1.0), MIN_PICTURE_PX / longer)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        if size == (width, height):
            return image, np.ones(2, dtype=np.float32)
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(image, size, interpolation=interpolation), dtype=np.uint8)
        return small, np.array([size[0] / width, size[1] / height], dtype=np.float32)


def load_detector(
    *,
    threads: int = 1,
    search_size: int = 640,
    min_face: float = 0.0,
    min_score: float = 0.6,
    at_once: int = 1,
    turned: bool = True,
) -> Detector:
    """Load the packaged YuNet. It uses one thread by default: for its small layers two are slower."""
    path = Path(str(files("mien") / "models" / "yunet" / "yunet.onnx"))
    if not path.is_file():
        raise ModelNotFound(f"the face detector {path} is missing; install mien with pip, which builds it")
    engine = _open(path, threads)
    return Detector(
        engine, search_size=search_size, min_face=min_face, min_score=min_score, at_once=at_once, turned=turned
    )


def _open(path: Path, threads: int) -> Engine:
    """Open the model with the first library that works. EngineUnavailable if none does."""
    devices = [name for name in ("cpu", "openvino", "tensorrt") if has_library(name)] or ["cpu"]
    for device in devices[:-1]:
        try:
            return load_engine(path, device=device, threads=threads)
        except EngineUnavailable:
            continue
    return load_engine(path, device=devices[-1], threads=threads)


def find_in_crop(detector: Detector, image: Image) -> Detection | None:
    """The main face of a picture that is already cropped to a face.

    YuNet was trained on faces in scenes and needs a margin, so the picture is enlarged and its border repeated.
    """
    height, width = image.shape[:2]
    scale = CROP_SIDE_PX / max(height, width)
    big = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
    margin = round(CROP_SIDE_PX * CROP_BORDER)
    padded = cv2.copyMakeBorder(big, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    found = detector.detect(np.asarray(padded, dtype=np.uint8))
    if not found:
        # Perhaps it is not a crop but a whole scene, in which the face is now too small.
        scene = detector.detect(image) if max(height, width) > 2 * CROP_SIDE_PX else []
        return scene[0] if scene else None
    middle = np.array([padded.shape[1], padded.shape[0]], np.float32) / 2
    best = min(found, key=lambda d: float(np.abs((d.box[:2] + d.box[2:]) / 2 - middle).sum()) / d.score)
    points = None if best.landmarks is None else (best.landmarks - margin) / scale
    return Detection((best.box - margin) / scale, points, best.score)


def pad_to_stride(image: Image) -> Image:
    """Pad with black at the right and bottom to multiples of 32 px, which the network's strides need."""
    height, width = image.shape[:2]
    bottom, right = -height % STRIDES[-1], -width % STRIDES[-1]
    if not (bottom or right):
        return np.ascontiguousarray(image)
    padded = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return np.asarray(padded, dtype=np.uint8)


def decode(outputs: Mapping[str, Floats], width: int, min_score: float) -> tuple[Floats, Floats, Floats]:
    """Network outputs for an input ``width`` px wide -> boxes (N, 4), landmarks (N, 5, 2), scores (N,), in px.

    The score of a cell is sqrt(class * objectness). Its box is a center and a logarithm of the size, its landmarks are
    points, all in units of the stride and relative to the cell.
    """
    boxes, landmarks, scores = [], [], []
    for stride in STRIDES:
        score = np.sqrt(outputs[f"cls_{stride}"][0, :, 0] * outputs[f"obj_{stride}"][0, :, 0])
        found = np.flatnonzero(score >= min_score)
        if not len(found) and stride != STRIDES[-1]:
            continue
        row, column = np.divmod(found, width // stride)
        cell = np.stack([column, row], axis=1).astype(np.float32)
        place = outputs[f"bbox_{stride}"][0, found]
        center, half = (cell + place[:, :2]) * stride, np.exp(place[:, 2:]) * stride / 2
        boxes.append(np.concatenate([center - half, center + half], axis=1))
        points = outputs[f"kps_{stride}"][0, found].reshape(-1, 5, 2)
        landmarks.append((points + cell[:, None]) * stride)
        scores.append(score[found])
    return np.concatenate(boxes), np.concatenate(landmarks), np.concatenate(scores)


def suppress(boxes: Floats, scores: Floats, overlap: float = 0.3) -> NDArray[np.intp]:
    """Greedy non-maximum suppression of boxes (N, 4) with scores (N,): the indices to keep, best first. ``overlap``:
    largest intersection over union of two boxes that are both kept."""
    order = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(best)
        top_left = np.maximum(boxes[best, :2], boxes[rest, :2])
        bottom_right = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.clip(bottom_right - top_left, 0, None).prod(axis=1)
        order = rest[shared <= overlap * (areas[best] + areas[rest] - shared)]
    return np.array(keep, dtype=np.intp)
