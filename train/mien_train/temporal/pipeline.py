"""``fer-train temporal``: a bundle and stills, or labeled video -> a temporal encoder that ``fer-export`` can pack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien.bundle import Bundle, find_bundle
from mien.errors import InputError
from mien.files import sha256
from mien.types import EXPRESSIONS
from mien_train.data.datasets import TERMS
from mien_train.loop.threads import use_threads
from mien_train.models.checkpoints import save_checkpoint
from mien_train.temporal.data import LEARNED, load_stills
from mien_train.temporal.evaluate import figures, mean_delay, methods
from mien_train.temporal.network import READ, TemporalShape
from mien_train.temporal.scenes import make_scenes
from mien_train.temporal.sequences import Sequences, realize
from mien_train.temporal.train import Draw, TemporalRecipe, load_temporal, train_temporal
from mien_train.temporal.video import load_labeled

EACH = 2
"""Sequences that are made of each scene for validation and tests."""
CHOSEN_SEED, TEST_SEED = 1, 2
STEADY = 0.3
"""Share of the training sequences in which the expression does not change. Without them, an encoder was worse than the
filters at faces that hold an expression."""


@dataclass(frozen=True)
class SceneCounts:
    """Scenes for training, for validation and for tests, and the frames of each."""

    learned: int = 800
    chosen: int = 100
    tested: int = 250
    frames: int = 48


def made_up(
    bundle: Bundle, root: Path | None, counts: SceneCounts, cache: Path, *, test: bool = True
) -> tuple[Draw, Sequences, Sequences | None]:
    """Sequences made of stills: a function that draws training sequences, validation and test sequences."""
    learned, chosen, tested = load_stills(root)
    scenes = make_scenes(learned, bundle, counts.learned, counts.frames, 0, cache)
    choose = make_scenes(chosen, bundle, counts.chosen, counts.frames, CHOSEN_SEED, cache)
    test_sequences = None
    if test:
        held_out = make_scenes(tested, bundle, counts.tested, counts.frames, TEST_SEED, cache)
        test_sequences = realize(held_out, np.tile(np.arange(len(held_out)), EACH), np.random.default_rng(TEST_SEED))

    def draw(rng: np.random.Generator, count: int) -> Sequences:
        return realize(scenes, rng.integers(len(scenes), size=count), rng, STEADY)

    rows = np.tile(np.arange(len(choose)), EACH)
    return draw, realize(choose, rows, np.random.default_rng(CHOSEN_SEED)), test_sequences


def run_temporal(
    model: str | Path,
    root: Path | None,
    out: Path,
    counts: SceneCounts,
    recipe: TemporalRecipe,
    labels: Path | None = None,
    *,
    resume: bool = False,
    threads: int | None = None,
) -> dict[str, Any]:
    """Train for the student of ``model`` and write ``out/temporal.pt``. ``labels``: a CSV of labeled video
    (video.py) in place of stills; a sixth of its clips is kept for validation.

    Returns the figures on the validation sequences. Raises InputError.
    """
    use_threads(threads or 1)
    cv2.setNumThreads(threads or 1)
    bundle = find_bundle(model)
    if bundle.card.labels != EXPRESSIONS:
        raise InputError(
            f"{bundle.card.name} reads {', '.join(bundle.card.labels)}; a temporal encoder is made for all of "
            f"{', '.join(EXPRESSIONS)}, so train the model on all of them first"
        )
    cache = out / "cache"
    if labels:
        learned, chosen = load_labeled(labels, bundle, cache)
        draw: Draw = lambda rng, count: learned.take(rng.integers(len(learned), size=count))  # noqa: E731
        terms = f"labeled video of {labels.name}, {len(learned)} sequences"
    else:
        draw, chosen, _ = made_up(bundle, root, counts, cache, test=False)
        terms = (
            f"{counts.learned} scenes of 3 stills each, of {', '.join(LEARNED)}: sequences made up by disturbing "
            "stills and moving through their embeddings, no real video; valence and arousal are the student's own "
            "readings of the undisturbed stills; terms of the sets: "
            + "; ".join(dict.fromkeys(TERMS[name.split("/")[0]] for name in LEARNED))
        )
    shape = TemporalShape(bundle.card.embedding)
    path = train_temporal(draw, chosen, shape, recipe, out, resume=resume)
    net, state = load_temporal(path)
    filters, constants = methods(net, chosen)
    read = {name: read_all(chosen) for name, read_all in filters.items()}
    delays = mean_delay(chosen, read)
    validation = {
        name: figures(reading, chosen) | {"delay": delays[name] if np.isfinite(delays[name]) else None}
        for name, reading in read.items()
    }
    state["card"] = {
        "window": shape.window,
        "span": shape.span,
        "state": shape.width + READ,
        "student": sha256(bundle.model_file("fp32")),
        "training": terms,
    }
    save_checkpoint(path, state)
    return {"model": bundle.card.name, "constants": constants, "validation": validation}


def lines(figures: dict[str, Any]) -> list[str]:
    """Figures by method, for a terminal."""
    head = f"{'':40s} {'accuracy':>9s} {'macro-F1':>9s} {'CCC v':>7s} {'CCC a':>7s} {'flips/s':>8s} {'delay s':>8s}"
    widths = {"accuracy": 9, "macro_f1": 9, "ccc_valence": 7, "ccc_arousal": 7, "flips": 8}
    rows = []
    for name, values in figures.items():
        cells = [f"{values[key][0]:{width}.4f}" if values[key] else " " * width for key, width in widths.items()]
        delay = "" if values["delay"] is None else f"{values['delay']:8.3f}"
        rows.append(f"{name:40s} {' '.join(cells)} {delay}")
    return [head, *rows]
