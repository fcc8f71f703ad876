"""Pictures of a person -> examples to learn from: one face each, as the model sees it."""

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

CROPPED = 320
"""Longer side, in px, up to which a picture is first taken for the crop of a face."""
FILLS = 0.4
"""Side of its face over that of a picture, from which on it is such a crop."""
ALIKE = 0.5
"""Area of a second face, over that of the largest, from which on it is not clear who is meant."""
CLEARLY = 0.95
"""Mean probability of another expression than neutral that no face at rest has."""
TOLD = 5
"""Numbers of pictures that an error names."""


def read_examples(
    pictures: Sequence[ArrayLike], detector: Detector, model: ExpressionModel, skip_faceless: bool
) -> tuple[Examples, Floats | None, int]:
    """The faces of N pictures, their valence and arousal (N, 2), None where the model tells none, and how many pictures
    without a face were left out.

    Raises InputError for what is no list of pictures, and, naming them by their numbers from 1, for pictures that show
    several faces, or none unless those are to be skipped.
    """
    if isinstance(pictures, np.ndarray) and pictures.ndim == 3:
        pictures = [pictures]
    images = [check_frame(picture) for picture in pictures]
    if not images:
        raise InputError("there are no pictures to learn from; give at least one, better five")
    faces = [_face(image, detector, f"picture {i}") for i, image in enumerate(images, 1)]
    faceless = [i for i, face in enumerate(faces, 1) if face is None]
    if len(faceless) == len(images) or (faceless and not skip_faceless):
        which = ", ".join(map(str, faceless[:TOLD])) + (", ..." if len(faceless) > TOLD else "")
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
    """The face at rest that examples show: their means. EnrolmentRefused where they clearly show something else."""
    mean = dict(zip(labels, examples.probabilities.mean(axis=0, dtype=np.float64).tolist(), strict=True))
    looks = max(mean, key=mean.__getitem__)
    if looks != "neutral" and mean[looks] > CLEARLY:
        raise EnrolmentRefused(f"these pictures clearly show {looks}, not a face at rest; relax the face and try again")
    felt = None if affect is None else Affect(*affect.mean(axis=0, dtype=np.float64).tolist())
    return Baseline(mean, felt)


def _face(image: Image, detector: Detector, name: str) -> Detection | None:
    """The face of a picture, which may be a crop of it."""
    small = max(image.shape[:2]) <= CROPPED
    cropped = find_in_crop(detector, image) if small else None
    if cropped is not None and _fills(cropped, image):
        return cropped
    found = detector.detect(image)
    areas = [float((face.box[2:] - face.box[:2]).prod()) for face in found]
    if len(areas) > 1 and areas[1] > ALIKE * areas[0]:
        raise InputError(f"{name} shows {len(found)} faces; cut out the one that is meant")
    return found[0] if found else (cropped if small else find_in_crop(detector, image))


def _fills(face: Detection, image: Image) -> bool:
    return float((face.box[2:] - face.box[:2]).min()) > FILLS * float(min(image.shape[:2]))
