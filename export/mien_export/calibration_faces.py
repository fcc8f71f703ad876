"""Faces for calibration and proof: from pictures, data sets, videos or a camera, or views of a portrait."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.align import CropSpec, crop, crop_matrix
from mien.enrollment.votes import blends
from mien.errors import InputError, SourceError
from mien.sources.demo import demo_picture
from mien.sources.factory import open_source
from mien.sources.images import read_image
from mien.sources.stills.kinds import SUFFIXES
from mien.types import EXPRESSIONS, Image
from mien.vision.detector import Detector, find_in_crop, load_detector

LIMIT = 1000
PORTRAIT_TURNS = (-25, -15, -8, 0, 8, 15, 25)


@dataclass(frozen=True, eq=False)
class FaceCrops:
    """``crops`` uint8 RGB (N, S, S, 3). ``expression`` (N,) index into the model's labels, -1 for none; ``affect``
    (N, 2) valence and arousal, NaN for none. ``origin``: where they come from, in words for the card."""

    crops: Image
    expression: NDArray[np.int64]
    affect: NDArray[np.float32]
    origin: str

    def __len__(self) -> int:
        return len(self.crops)

    def take(self, rows: NDArray[Any] | slice) -> FaceCrops:
        return FaceCrops(self.crops[rows], self.expression[rows], self.affect[rows], self.origin)


Found = tuple[Image, int, tuple[float, float]]
"""A crop, its class, and its valence and arousal."""
UNKNOWN = (float("nan"), float("nan"))


def read_faces(
    sources: Sequence[str],
    spec: CropSpec,
    limit: int = LIMIT,
    *,
    labels: Sequence[str] = EXPRESSIONS,
    clear: bool = False,
) -> FaceCrops:
    """Crops of the faces in ``sources``, at most ``limit`` (0: all), evenly spread over each source.

    A source is a folder of pictures (subfolders named after expressions give labels), a parquet file or a glob of them
    with the columns that docs/reference/formats.md lists, a video, or a camera's number. Without a source, the faces
    are views of the portrait that comes with scikit-image: mirrored, turned, and in other light. ``labels``: the
    model's classes; a face of any other class has no label. ``clear`` leaves out rows without a label, and those whose
    votes are split between two expressions. Raises InputError where a source is missing or contains no face.
    """
    if not sources:
        return _portrait(spec)
    detector = load_detector(min_score=0.5)
    share = -(-limit // len(sources)) if limit else 0
    found: list[Found] = []
    for source in sources:
        here = list(_read(source, spec, detector, share, labels, clear))
        if not here:
            raise InputError(f"no face found in {source}; give pictures, parquet files or a video with faces in it")
        found += here
    crops, expression, affect = zip(*found, strict=True)
    return FaceCrops(
        np.stack(crops), np.array(expression, np.int64), np.array(affect, np.float32), ", ".join(map(_short, sources))
    )


def _read(
    source: str, spec: CropSpec, detector: Detector, limit: int, labels: Sequence[str], clear: bool
) -> Iterator[Found]:
    paths = sorted(glob.glob(source, recursive=True)) if glob.has_magic(source) else [source]
    if paths and all(Path(path).suffix == ".parquet" for path in paths):
        yield from _parquet(paths, spec, detector, limit, labels, clear)
    elif Path(source).is_dir():
        yield from _folder(Path(source), spec, detector, limit, labels)
    else:
        yield from _frames(source, spec, detector, limit)


def _folder(folder: Path, spec: CropSpec, detector: Detector, limit: int, labels: Sequence[str]) -> Iterator[Found]:
    for path in _spread(sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES), limit):
        try:
            patch = _cut(read_image(path), spec, detector)
        except SourceError:  # skip a damaged picture; the caller notices a folder without any face
            continue
        if patch is not None:
            # As in training, a class's folder may hold others: one for each person, say.
            names = (*path.relative_to(folder).parts[:-1], folder.name)
            places = (_place(name.lower(), labels) for name in names)
            yield patch, next((place for place in places if place >= 0), -1), UNKNOWN


def _parquet(
    paths: Sequence[str], spec: CropSpec, detector: Detector, limit: int, labels: Sequence[str], clear: bool
) -> Iterator[Found]:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError("reading parquet files needs pyarrow; run: pip install pyarrow") from error
    try:
        rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {paths[0]}: {error}") from error
    if rows and not {"image", "expression"} <= set(rows[0]):
        raise InputError(f"{paths[0]} needs the columns image and expression; see docs/reference/formats.md")
    if clear:
        rows = [row for row in rows if _place(_class_of(row), labels) >= 0 and not is_blend(row.get("votes"))]
    for row in _spread(rows, limit):
        image = cv2.imdecode(np.frombuffer(row["image"]["bytes"], np.uint8), cv2.IMREAD_COLOR)
        patch = None if image is None else _cut(np.asarray(image, np.uint8), spec, detector)
        if patch is not None:
            valence, arousal = row.get("valence"), row.get("arousal")
            affect = UNKNOWN if valence is None or arousal is None else (float(valence), float(arousal))
            yield patch, _place(_class_of(row), labels), affect


def _class_of(row: dict[str, Any]) -> str:
    """The name of a row's class, empty for none. A basic name in ``category`` is what somebody meant to show, which
    counts only if ``expression`` says that it was seen."""
    number, category = int(row["expression"]), row.get("category") or ""
    return EXPRESSIONS[number] if number >= 0 else "" if category in EXPRESSIONS else category


def _place(name: str, labels: Sequence[str]) -> int:
    return labels.index(name) if name in labels else -1


def is_blend(votes: Sequence[int] | None) -> bool:
    """Whether votes for the eight classes show two expressions at once."""
    return votes is not None and bool(blends(np.array([votes]))[1][0])


def _frames(source: str, spec: CropSpec, detector: Detector, limit: int) -> Iterator[Found]:
    """Faces of a video, from frames at equal distances, or of a camera."""
    with open_source(source) as frames:
        step = max(1, (frames.count or 0) // limit) if limit else 1
        taken = 0
        for i, frame in enumerate(frames):
            if i % step:
                continue
            for face in detector.detect(frame.image):
                taken += 1
                yield crop(frame.image, crop_matrix(spec, face.box, face.landmarks), spec.size), -1, UNKNOWN
            if limit and taken >= limit:
                return


def _cut(image: Image, spec: CropSpec, detector: Detector) -> Image | None:
    found = find_in_crop(detector, image)
    if found is None:
        return None
    return crop(image, crop_matrix(spec, found.box, found.landmarks), spec.size)


def _portrait(spec: CropSpec) -> FaceCrops:
    """Views of one face: enough to detect a broken file, too few to measure how good a file is."""
    picture = read_image(demo_picture())
    (face, *_) = load_detector().detect(picture)
    crops: list[Image] = []
    for angle in PORTRAIT_TURNS:
        turn = cv2.getRotationMatrix2D(((spec.size - 1) / 2,) * 2, angle, 1.0)
        matrix = turn @ np.vstack([crop_matrix(spec, face.box, face.landmarks), [0, 0, 1]])
        plain = crop(picture, matrix, spec.size)
        gray = np.repeat(cv2.cvtColor(plain, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)
        blurred = np.asarray(cv2.GaussianBlur(plain, (0, 0), spec.size / 60), np.uint8)
        for view in (plain, plain // 2, gray, blurred):
            crops += [view, np.ascontiguousarray(view[:, ::-1])]
    count = len(crops)
    origin = f"{count} views of one portrait"
    return FaceCrops(np.stack(crops), np.full(count, -1), np.full((count, 2), np.nan, np.float32), origin)


def _spread(items: Sequence[Any], limit: int) -> Sequence[Any]:
    if not limit or len(items) <= limit:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, limit).astype(int)]


def _short(source: str) -> str:
    """The last two parts of a path: a card should not reveal the folders of the computer that made it."""
    return "/".join(Path(source).parts[-2:])
