"""Scenes: a neutral face and two others under the same disturbances, and the student's outputs on every frame.

Sequences are interpolated between the embeddings of a scene (sequences.py), so one scene gives many. The stills are
images that the student was not trained on, since it is too confident on those.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mien.align import crop_matrix
from mien.bundle import Bundle
from mien.engines import Engine, load_engine
from mien.errors import InputError
from mien.files import replacing
from mien.types import EXPRESSIONS
from mien_train.data.batches import Faces
from mien_train.data.landmarks import decode_image
from mien_train.temporal.render import draw_disturbances, frame_times, render

STILLS = 3
"""In a scene, the neutral one first."""
SAVE_EVERY = 50
"""Scenes."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scenes:
    """K scenes of F frames of STILLS stills each.

    ``times`` (K, F) s. ``labels`` (K, 3) class of each still, ``truth`` (K, 3, 2) its valence and arousal.
    The student's outputs on each frame: ``embedding`` (K, 3, F, D) float16, ``expression`` (K, 3, F, 8) calibrated
    probabilities, ``affect`` (K, 3, F, 2). ``origin`` (K,): index of the set.
    """

    times: NDArray[np.float64]
    labels: NDArray[np.int64]
    truth: Floats
    embedding: NDArray[np.float16]
    expression: Floats
    affect: Floats
    origin: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: NDArray[np.int64]) -> Scenes:
        return Scenes(**{name: values[rows] for name, values in vars(self).items()})


def make_scenes(
    sets: list[Faces], bundle: Bundle, count: int, frames: int, seed: int, cache: Path, precision: str = "int8"
) -> Scenes:
    """Render ``count`` scenes from stills of ``sets`` and run the student on them, or read them from ``cache``, so that
    a killed run goes on. All sets are drawn equally often, a class in proportion to the root of its count. The valence
    and arousal of a still are a human rating where there is one, and else the student's output on the undisturbed
    still.

    Raises InputError for a set without neutral faces, or with fewer than two other classes.
    """
    precision = precision if precision in bundle.precisions else "fp32"
    engine = load_engine(bundle.model_file(precision), threads=1)
    about = [bundle.card.files, precision, [(item.faces.name, len(item.faces)) for item in sets], frames, seed]
    digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]
    folder = cache / f"scenes-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in tqdm(range(0, count, SAVE_EVERY), "scenes", unit=f" x {SAVE_EVERY}", mininterval=5.0):
        end = min(start + SAVE_EVERY, count)
        file = folder / (f"{start:06d}.npz" if end == start + SAVE_EVERY else f"{start:06d}-{end:06d}.npz")
        if not file.is_file():
            drawn = [_scene(sets, bundle, engine, frames, (seed, k)) for k in range(start, end)]
            with replacing(file) as aside:
                np.savez(
                    aside, allow_pickle=False, **{name: np.stack([one[name] for one in drawn]) for name in drawn[0]}
                )
        with np.load(file) as stored:
            parts.append({name: stored[name] for name in stored.files})
    joined = {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}
    return Scenes(**joined)


def _scene(
    sets: list[Faces], bundle: Bundle, engine: Engine, frames: int, seed: tuple[int, int]
) -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(seed)
    origin = int(rng.integers(len(sets)))
    item, spec = sets[origin], bundle.card.crop
    stills = _draw(item, rng)
    times = frame_times(frames, rng)
    disturbances = draw_disturbances(times, rng)
    crops, clean = [], []
    for still in stills:
        image = decode_image(item.faces.encoded(still))
        box, points = item.landmarks.at(still)
        matrix = crop_matrix(spec, box, points)
        crops += list(render(image, matrix, spec.size, disturbances, int(rng.integers(2**31))))
        clean.append(item.crop(still, spec))
    read = dict(engine.run(np.stack(crops)))
    if bundle.card.has_affect:
        own = engine.run(np.stack(clean))["affect"]
    else:  # zeros, as a stream gives them to the encoder, and no target
        read["affect"], own = np.zeros((len(crops), 2), np.float32), np.full((STILLS, 2), np.nan, np.float32)
    human = item.faces.affect[stills]
    shaped = {name: values.reshape(STILLS, frames, -1) for name, values in read.items()}
    return {
        "times": times,
        "labels": item.faces.expression[stills],
        "truth": np.where(np.isnan(human), own, human).astype(np.float32),
        "embedding": shaped["embedding"].astype(np.float16),
        "expression": shaped["expression"].astype(np.float32),
        "affect": shaped["affect"].astype(np.float32),
        "origin": np.array(origin),
    }


def _draw(item: Faces, rng: np.random.Generator) -> NDArray[np.int64]:
    """(3,) rows: a neutral face, and two faces of two other classes."""
    labels = item.faces.expression
    count = np.bincount(labels[labels >= 0], minlength=len(EXPRESSIONS)).astype(np.float64)
    weight = np.sqrt(count) * (np.arange(len(count)) > 0)
    if not count[0] or np.count_nonzero(weight) < 2:
        raise InputError(f"{item.faces.name} lacks neutral faces, or two other classes: sequences need both")
    classes = rng.choice(len(count), 2, replace=False, p=weight / weight.sum())
    return np.array([rng.choice(np.flatnonzero(labels == label)) for label in (0, *classes)])
