"""The training of the temporal encoder: what it gains, and how it resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_sequences import SHAPE, sequences, tiny_scenes

from mien.errors import InputError
from mien_train.temporal.sequences import Sequences, realize
from mien_train.temporal.train import TemporalRecipe, encode, load_temporal, train_temporal


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("temporal")
    scenes = tiny_scenes(20, 1)

    def draw(rng: np.random.Generator, count: int) -> Sequences:
        return realize(scenes, rng.integers(len(scenes), size=count), rng)

    return train_temporal(draw, sequences(8, 2), SHAPE, TemporalRecipe(steps=60, sequences=8, rate=5e-3), out)


def test_training_beats_single_frames_on_faces_that_it_has_not_seen(trained: Path) -> None:
    learned, state = load_temporal(trained)
    held_out = sequences(12, 3)
    expression, _ = encode(learned, held_out)
    there = (expression.argmax(-1) == held_out.label).mean()
    assert there > (held_out.expression.argmax(-1) == held_out.label).mean() + 0.05
    assert state["history"]


def test_a_run_that_was_stopped_resumes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien_train.temporal.train.SAVE_EVERY", 4)
    scenes, chosen = tiny_scenes(4), sequences(2, 5)
    recipe = TemporalRecipe(steps=12, sequences=2, asked=4)
    shape = replace(SHAPE, dropout=0.2)
    fail_at = [10**9]
    calls = [0]

    def draw(rng: np.random.Generator, count: int) -> Sequences:
        calls[0] += 1
        if calls[0] > fail_at[0]:
            raise KeyboardInterrupt
        return realize(scenes, rng.integers(len(scenes), size=count), rng)

    whole, _ = load_temporal(train_temporal(draw, chosen, shape, recipe, tmp_path / "whole"))
    fail_at[0] = calls[0] + 7
    with pytest.raises(KeyboardInterrupt):
        train_temporal(draw, chosen, shape, recipe, tmp_path / "parts")
    fail_at[0] = 10**9
    with pytest.raises(InputError, match="--resume"):
        train_temporal(draw, chosen, shape, recipe, tmp_path / "parts")
    with pytest.raises(InputError, match="another shape or recipe"):
        train_temporal(draw, chosen, shape, replace(recipe, rate=1.0), tmp_path / "parts", resume=True)
    again = train_temporal(draw, chosen, shape, recipe, tmp_path / "parts", resume=True)
    last = [torch.load(tmp_path / name / "last.pt", weights_only=True)["net"] for name in ("whole", "parts")]
    assert all(torch.equal(last[0][key], last[1][key]) for key in last[0])
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), load_temporal(again)[0].parameters(), strict=True))


@pytest.mark.parametrize("steps", [1, 2, 20, 21])
def test_a_run_of_few_steps_has_a_schedule(steps: int, tmp_path: Path) -> None:
    scenes = tiny_scenes(2)

    def draw(rng: np.random.Generator, count: int) -> Sequences:
        return realize(scenes, rng.integers(len(scenes), size=min(count, 2)), rng)

    recipe = TemporalRecipe(steps=steps, sequences=2, asked=4)
    assert train_temporal(draw, sequences(2, 5), SHAPE, recipe, tmp_path).is_file()


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fer-train temporal"):
        load_temporal(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"bad")
    with pytest.raises(InputError, match="not a temporal encoder"):
        load_temporal(tmp_path / "bad.pt")
