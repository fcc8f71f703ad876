"""Scenes out of stills: which stills, and how they are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mien_train.temporal.data
from mien.bundle import find_bundle
from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.data.batches import Faces
from mien_train.temporal.data import load_stills
from mien_train.temporal.scenes import make_scenes


@pytest.fixture
def stills(data: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Faces], list[Faces], list[Faces]]:
    monkeypatch.setattr(mien_train.temporal.data, "VALIDATION", 0.4)
    monkeypatch.setattr(mien_train.temporal.data, "repeats", lambda hashes, *_: np.zeros(len(hashes), bool))
    return load_stills(data, ("ferplus/validation", "rafdb/train"))


def test_stills_to_learn_from_choose_by_and_test_on_differ(
    stills: tuple[list[Faces], list[Faces], list[Faces]],
) -> None:
    images = [{item.faces.encoded(i) for item in part for i in range(len(item.faces))} for part in stills]
    assert all(images)
    assert not images[0] & images[1]
    assert not (images[0] | images[1]) & images[2]


def test_what_repeats_a_test_image_is_left_out(data: Path) -> None:
    """All of the made-up pictures are the same portrait."""
    learned, chosen, tests = load_stills(data, ("ferplus/validation",))
    assert sum(len(item.faces) for item in [*learned, *chosen]) < 12, "of 24"
    assert all(len(item.faces) for item in tests)


def test_scenes_are_kept_and_a_run_that_was_killed_goes_on(
    stills: tuple[list[Faces], list[Faces], list[Faces]], tiny_bundle: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import mien_train.temporal.scenes as module

    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    bundle = find_bundle(tiny_bundle)
    one = make_scenes(stills[0], bundle, 3, 5, 0, tmp_path)
    assert one.embedding.shape == (3, 3, 5, 16)
    assert (one.labels[:, 0] == 0).all()
    assert (one.labels[:, 1:] > 0).all()
    assert (one.labels[:, 1] != one.labels[:, 2]).all()
    made = []
    real = module._scene
    monkeypatch.setattr(module, "_scene", lambda *args: made.append(args[-1]) or real(*args))
    again = make_scenes(stills[0], bundle, 5, 5, 0, tmp_path)
    assert [k for _, k in made] == [2, 3, 4], "the pair that was whole is kept"
    assert np.array_equal(again.take(np.arange(3)).embedding, one.embedding)
    assert not list(tmp_path.rglob("*partial*"))


def test_sets_without_neutral_faces_are_refused(
    stills: tuple[list[Faces], list[Faces], list[Faces]], tiny_bundle: Path, tmp_path: Path
) -> None:
    item = stills[0][0]
    some = item.subset(item.faces.expression == EXPRESSIONS.index("anger"))
    with pytest.raises(InputError, match="neutral"):
        make_scenes([some], find_bundle(tiny_bundle), 1, 4, 0, tmp_path)
