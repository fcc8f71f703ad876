"""The public face: frames in, faces with expression and affect out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.align import crop, crop_matrix
from mien.bundle import find_bundle
from mien.card import ModelCard
from mien.choice import choose, open_way
from mien.detector import load_detector
from mien.errors import InputError
from mien.expression import ExpressionModel
from mien.faces import Detection, Face, Floats, Image


class Recognizer:
    """Reads facial expression from pictures. Immutable after construction: share it between threads."""

    def __init__(
        self,
        model: str | Path = "default",
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        min_face: float = 0.0,
        min_confidence: float = 0.6,
    ):
        """``model``: ``default``, a packaged name, or the folder of a bundle.

        ``device``: auto, cpu, cuda, openvino, tensorrt, ort-tensorrt, or dla:0 and dla:1. ``precision``: auto, fp32,
        fp16 or int8. ``auto`` takes what is fastest here, which the first call measures for about a second and then
        remembers (choice.py). What was chosen is in ``engine``; a device asked for by name that cannot be had raises
        EngineUnavailable.

        ``threads``: of the expression model; None for all cores. ``min_face``: smallest face reported, in px of the
        frame; 0 searches the frame at 640 px, which finds faces from about a fortieth of its longer side. A larger
        value makes the search cheaper, a smaller one dearer. ``min_confidence``: of the face detector, in [0, 1].

        Raises ModelNotFound, ModelInvalid, EngineUnavailable or InputError.
        """
        if not 0.0 < min_confidence < 1.0:
            raise InputError(f"min_confidence is {min_confidence}; use a value between 0 and 1")
        if not 0.0 <= min_face < float("inf"):
            raise InputError(f"min_face is {min_face}; use 0 or a number of px")
        bundle = find_bundle(model)
        self._choice = choose(bundle, device, precision, threads)
        engine = open_way(bundle, (self._choice.device, self._choice.precision), threads)
        self._model = ExpressionModel(bundle.card, engine)
        self._detector = load_detector(min_face=min_face, min_score=min_confidence)

    @property
    def card(self) -> ModelCard:
        """What the model is: labels, crop, training data and their terms, held-out metrics."""
        return self._model.card

    @property
    def engine(self) -> str:
        """What really executes the expression model, and in which precision: for example ``onnxruntime/cpu fp32``."""
        return f"{self._model.engine.name} {self._choice.precision}"

    @property
    def labels(self) -> tuple[str, ...]:
        return self._model.card.labels

    def predict(self, frame: ArrayLike) -> list[Face]:
        """uint8 BGR (H, W, 3), as cv2 gives it -> faces, the largest first. No face gives an empty list.

        Raises InputError for a frame that is not such a picture.
        """
        return self.predict_batch([frame])[0]

    def predict_batch(self, frames: Sequence[ArrayLike]) -> list[list[Face]]:
        """The faces of each frame. One engine call reads the faces of all frames."""
        images = [check_frame(frame) for frame in frames]
        return self._read(images, [self._detector.detect(image) for image in images])

    def predict_boxes(self, frame: ArrayLike, boxes: ArrayLike, landmarks: ArrayLike | None = None) -> list[Face]:
        """Faces that another detector found, in its order.

        ``boxes``: (N, 4) x1 y1 x2 y2 px. ``landmarks``: (N, 5, 2) px, the person's right eye, left eye, nose tip,
        right and left mouth corner; with them the crop is turned level. The score of such faces is 1.
        Raises InputError for boxes that are not finite, have no size, or lie outside of the frame.
        """
        image = check_frame(frame)
        checked = check_boxes(boxes, image.shape)
        points = None if landmarks is None else check_landmarks(landmarks, checked)
        detections = [Detection(box, None if points is None else points[i], 1.0) for i, box in enumerate(checked)]
        return self._read([image], [detections])[0]

    def _read(self, images: Sequence[Image], found: Sequence[Sequence[Detection]]) -> list[list[Face]]:
        spec = self._model.card.crop
        crops = [
            crop(image, crop_matrix(spec, face.box, face.landmarks), spec.size)
            for image, faces in zip(images, found, strict=True)
            for face in faces
        ]
        results = iter(self._model.read(crops))
        return [[Face(face.box, face.landmarks, face.score, *next(results)) for face in faces] for faces in found]


def check_frame(frame: ArrayLike) -> Image:
    """The frame as an array, or InputError with what is wrong and how to mend it."""
    image = np.asarray(frame)
    if image.dtype != np.uint8:
        hint = "scale it to 0..255 and use .astype('uint8')" if image.dtype.kind == "f" else "convert it to 8 bits"
        if image.dtype == object:
            hint = "cv2.imread and VideoCapture.read give None where they fail: check the path or camera"
        raise InputError(f"frame has dtype {image.dtype}, expected uint8; {hint}")
    if image.ndim != 3 or image.shape[2] != 3:
        hint = {2: "for grey use cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)"}.get(image.ndim, "")
        if image.ndim == 3 and image.shape[2] == 4:
            hint = "for four channels use cv2.cvtColor(frame, cv2.COLOR_BGRA2BGR)"
        raise InputError(f"frame has shape {image.shape}, expected (height, width, 3) BGR; {hint}".rstrip("; "))
    if 0 in image.shape:
        raise InputError(f"frame is empty: its shape is {image.shape}")
    return image


def check_boxes(boxes: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """(N, 4) float32 boxes that overlap the picture, or InputError."""
    array = _floats(boxes, "boxes")
    if array.size == 0:
        return np.zeros((0, 4), dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(f"boxes have shape {array.shape}, expected (N, 4): x1 y1 x2 y2 in px")
    height, width = shape[:2]
    for i, (x1, y1, x2, y2) in enumerate(array):
        if x2 - x1 < 1 or y2 - y1 < 1:
            raise InputError(f"box {i} ({x1:g}, {y1:g}, {x2:g}, {y2:g}) has no size; give x1 y1 x2 y2, not x y w h")
        if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
            raise InputError(f"box {i} ({x1:g}, {y1:g}, {x2:g}, {y2:g}) lies outside of the {width}x{height} frame")
    return array


def check_landmarks(landmarks: ArrayLike, boxes: Floats) -> Floats:
    """(N, 5, 2) float32 landmarks that belong to ``boxes`` (N, 4), or InputError."""
    array = _floats(landmarks, "landmarks")
    if array.shape != (len(boxes), 5, 2):
        raise InputError(f"landmarks have shape {array.shape}, expected ({len(boxes)}, 5, 2): five points a box, in px")
    for i, (points, box) in enumerate(zip(array, boxes, strict=True)):
        if np.ptp(points, axis=0).max() < 1:
            raise InputError(f"the landmarks of box {i} fall on one spot; leave landmarks out if there are none")
        middle = points.mean(axis=0)
        if (middle < box[:2]).any() or (middle > box[2:]).any():
            raise InputError(f"the landmarks of box {i} lie outside of it; give both in px of the frame")
    return array


def _floats(values: ArrayLike, what: str) -> NDArray[np.float32]:
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be numbers in one regular array: {error}") from error
    if not np.isfinite(array).all():
        raise InputError(f"{what} hold values that are not finite; drop those detections first")
    return array
