"""Classes get back the shares that they have among labeled faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import write_split

from mien.types import EXPRESSIONS, Image
from mien_train.data.sets import load_with_landmarks
from mien_train.models.student import Student
from mien_train.recipe import ModelRecipe
from mien_train.semi.shares import correct_shares, labeled_shares, seen_shares


def test_a_head_that_saw_uniform_classes_answers_as_bayes_would() -> None:
    # Of 1000 faces per class the head saw as many of each; a face that fits two classes alike is then as their shares.
    student = Student(ModelRecipe(backbone="test_efficientnet", weights="")).eval()
    crops = torch.randint(0, 255, (4, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        before = student(crops).logits.softmax(1)
    natural = np.array([0.4, 0.3, 0.1, 0.1, 0.04, 0.03, 0.02, 0.01])
    correct_shares(student, natural, np.full(8, 1 / 8))
    with torch.no_grad():
        after = student(crops).logits.softmax(1)
    expected = before * torch.tensor(natural, dtype=torch.float32)
    torch.testing.assert_close(after, expected / expected.sum(1, keepdim=True))


def test_what_was_seen_as_it_is_stays_and_absent_classes_stay_finite() -> None:
    student = Student(ModelRecipe(backbone="test_efficientnet", weights=""))
    before = student.expression.bias.clone()
    natural = np.array([0.5, 0.5, 0, 0, 0, 0, 0, 0.0])
    correct_shares(student, natural, natural)
    assert torch.equal(student.expression.bias, before)
    correct_shares(student, natural, np.full(8, 1 / 8))
    assert torch.isfinite(student.expression.bias).all()


def test_shares_of_both_halves() -> None:
    natural = np.array([0.4, 0.3, 0.1, 0.1, 0.04, 0.03, 0.02, 0.01])
    happy = {label: float(label == "happiness") for label in EXPRESSIONS}
    quality = {"kept": 0.5, "classes": happy}
    seen = seen_shares(natural, quality, uniform=True)
    assert seen.sum() == pytest.approx(1)
    assert seen[0] == pytest.approx(1 / 12)
    assert seen[1] == pytest.approx((1 / 8 + 0.5) / 1.5)
    assert seen_shares(natural, quality, uniform=False)[0] == pytest.approx(0.4 / 1.5)
    nothing = {"kept": 0.0, "classes": dict.fromkeys(EXPRESSIONS)}
    assert np.allclose(seen_shares(natural, nothing, uniform=False), natural)


def test_uniform_draws_are_of_the_classes_that_occur() -> None:
    natural = np.array([0.5, 0.3, 0.2, 0, 0, 0, 0, 0])
    nothing = {"kept": 0.0, "classes": dict.fromkeys(EXPRESSIONS)}
    assert np.allclose(seen_shares(natural, nothing, uniform=True), [1 / 3, 1 / 3, 1 / 3, 0, 0, 0, 0, 0])


def test_labeled_shares_are_those_of_the_labels(tmp_path: Path, portrait: Image) -> None:
    write_split(tmp_path / "rafdb", "train", portrait, [0, 1, 1, 1, 6, 0, 1, 1], 0)
    item = load_with_landmarks("rafdb/train", tmp_path)
    assert np.allclose(labeled_shares([item]), np.array([2, 5, 0, 0, 0, 0, 1, 0]) / 8)
