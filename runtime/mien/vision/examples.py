"""Pictures of a person -> examples to learn from: the model's outputs for one face each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mien.align import crop, crop_matrix
from mien.enrollment.classes import Examples
from mien.enrollment.neutral import Baseline
from mien.errors import EnrolmentRefused, InputError
from mien.types import Affect, Detection, Floats, Image
from mien.vision.detector import Detector, find_in_crop
from mien.vision.expression import ExpressionModel
from mien.vision.frames import check_frame

MAX_CROP_PX = 320
"""A picture whose longer side is at most this long is first assumed to be the crop of a face."""
MIN_FACE_SHARE = 0.4
"""It is such a crop if the side of the face is at least this share of the picture's side."""
AMBIGUOUS_AREA_RATIO = 0.5
"""If the area of the second largest face is above this share of the largest, it is not clear who is meant."""
MAX_OTHER_AT_REST = 0.95
"""Highest mean probability that a face at rest may have for an expression other than neutral."""
MAX_NAMED_PICTURES = 5
"""How many pictures an error lists by number."""


def read_examples(
    pictures: Sequence[ArrayLike], detector: Detector, model: ExpressionModel, skip_faceless: bool
) -> tuple[Examples, Floats | None, int]:
    """The faces of N pictures; their valence and arousal (N, 2), None for a model without; and how many pictures
    without a face were left out.

    Raises InputError for anything but a list of pictures, for a picture with several faces, and, unless
    ``skip_faceless``, for one without a face. Pictures are named by their numbers from 1.
    """
    if isinstance(pictures, np.ndarray) and pictures.ndim == 3:
        pictures = [pictures]
    images = [check_frame(picture) for picture in pictures]
    if not images:
        raise InputError("there are no pictures to learn from; give at least one, better five")
    faces = [_face(image, detector, f"picture {i}") for i, image in enumerate(images, 1)]
    faceless = [i for i, face in enumerate(faces, 1) if face is None]
    if len(faceless) == len(images) or (faceless and not skip_faceless):
        more = ", ..." if len(faceless) > MAX_NAMED_PICTURES else ""
        which = ", ".join(map(str, faceless[:MAX_NAMED_PICTURES])) + more
        raise InputError(
            f"no face found in picture {which} of {len(images)}; give pictures of a face, frontal and in good light"
        )
    spec = model.card.crop
    crops = np.empty((len(images) - len(faceless), spec.size, spec.size, 3), np.uint8)
    places = iter(crops)
    for image, face in zip(images, faces, strict=True):
        if face is not None:
            crop(image, crop_matrix(spec, face.box, face.landmarks), spec.size, next(places))
    outputs = model.engine.run(crops)
    examples = Examples(np.array(outputs["embedding"]), np.array(outputs["expression"]))
    return examples, np.array(outputs["affect"]) if model.card.has_affect else None, len(faceless)


def rest_of(examples: Examples, affect: Floats | None, labels: Sequence[str]) -> Baseline:
    """The face at rest that examples show: their means. EnrolmentRefused if they clearly show something else."""
    mean = dict(zip(labels, examples.probabilities.mean(axis=0, dtype=np.float64).tolist(), strict=True))
    looks = max(mean, key=mean.__getitem__)
    if looks != "neutral" and mean[looks] > MAX_OTHER_AT_REST:
        raise EnrolmentRefused(f"these pictures clearly show {looks}, not a face at rest; relax the face and try again")
    felt = None if affect is None else Affect(*affect.mean(axis=0, dtype=np.float64).tolist())
    return Baseline(mean, felt)


def _face(image: Image, detector: Detector, name: str) -> Detection | None:
    """The face in a picture, which may be cropped to it."""
    small = max(image.shape[:2]) <= MAX_CROP_PX
    cropped = find_in_crop(detector, image) if small else None
    if cropped is not None and _fills(cropped, image):
        return cropped
    found = detector.detect(image)
    areas = [float((face.box[2:] - face.box[:2]).prod()) for face in found]
    if len(areas) > 1 and areas[1] > AMBIGUOUS_AREA_RATIO * areas[0]:
        raise InputError(f"{name} shows {len(found)} faces; crop it to the one that is meant")
    return found[0] if found else (cropped if small else find_in_crop(detector, image))


def _fills(face: Detection, image: Image) -> bool:
    return float((face.box[2:] - face.box[:2]).min()) > MIN_FACE_SHARE * float(min(image.shape[:2]))
