"""The file of what was learned: saved, loaded, copied, damaged, or of another model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mien import InputError, OutputError, Recognizer, SourceError
from mien.enrollment.classes import Examples, Personal
from mien.enrollment.neutral import Baseline
from mien.enrollment.reference_faces import Exemplars
from mien.enrollment.storage import load_personal, save_personal
from mien.types import EXPRESSIONS, Affect, Image


def test_the_file_gives_back_what_was_saved(recognizer: Recognizer, exemplars: Exemplars, tmp_path: Path) -> None:
    card, path = recognizer.card, tmp_path / "p.npz"
    random = np.random.default_rng(0)
    held = Examples(random.normal(0, 1, (3, card.embedding)).astype(np.float32), np.full((3, 8), 0.125, np.float32))
    weights = random.normal(0, 0.1, (8 + card.embedding + 1, 1)).astype(np.float32)
    rest = Baseline(dict.fromkeys(EXPRESSIONS, 0.125), Affect(-0.2, 0.1))
    saved = Personal(recognizer.personal.model, card.labels, {"glücklich, müde": held}, weights, rest)
    save_personal(saved, path)
    loaded = load_personal(path, card)
    assert loaded.labels == saved.labels
    assert loaded.rest == rest
    assert (loaded.weights == weights).all()
    assert path.stat().st_size < 20_000
    assert [item.name for item in tmp_path.iterdir()] == ["p.npz"]


@pytest.mark.parametrize("harm", ["cut", "bytes", "pickle", "shape", "nan", "format", "empty", "text"])
def test_a_damaged_file_is_refused_in_words(recognizer: Recognizer, tmp_path: Path, harm: str) -> None:
    path, card = tmp_path / "p.npz", recognizer.card
    held = Examples(np.zeros((2, card.embedding), np.float32), np.full((2, 8), 0.125, np.float32))
    weights = np.zeros((8 + card.embedding + 1 + (harm == "shape"), 1), np.float32)
    if harm == "nan":
        weights[3] = np.nan
    save_personal(Personal(recognizer.personal.model, card.labels, {"wink": held}, weights), path)
    data = path.read_bytes()
    if harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "bytes":
        path.write_bytes(data[:200] + bytes(200) + data[400:])
    elif harm == "pickle":
        np.savez(path, told=np.array([{"a": 1}], dtype=object))
    elif harm == "format":
        np.savez(path, told=np.array(json.dumps({"format": 99})))
    elif harm in ("empty", "text"):
        path.write_text("" if harm == "empty" else "not a file of numbers")
    with pytest.raises(InputError, match=r"damaged|format 99"):
        Recognizer(device="cpu", precision="fp32", threads=1, personal=path)


def test_a_file_of_another_model_and_no_file(fresh: Recognizer, tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    fresh.save_personal(path)
    with pytest.raises(InputError, match="learned with another model than tiny"):
        Recognizer(tiny_bundle, threads=1, personal=path)
    with pytest.raises(InputError, match="learned with another model"):
        fresh.personal = Personal("another", EXPRESSIONS)
    with pytest.raises(SourceError, match="fer-enroll makes such files"):
        Recognizer(tiny_bundle, threads=1, personal=tmp_path / "none.npz")
    with pytest.raises(OutputError, match="cannot write"):
        fresh.save_personal(tmp_path / "no" / "p.npz")


def test_shutil_is_not_needed_to_move_a_file(fresh: Recognizer, portrait: Image, tmp_path: Path) -> None:
    """A personal file may be copied to another machine with the same bundle."""
    fresh.enroll("grin", [portrait])
    fresh.save_personal(tmp_path / "a.npz")
    shutil.copy(tmp_path / "a.npz", tmp_path / "b.npz")
    (face,) = Recognizer(device="cpu", precision="int8", threads=1, personal=tmp_path / "b.npz").predict(portrait)
    assert face.expression.label == "grin", "in another precision of the same model, too"
