"""Learned expressions as rules on drawn numbers: what they cost, what is refused, how they are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_faces import EMPTY, drawn

from mien import EnrolmentRefused, InputError
from mien.enrollment.classes import Examples, Personal
from mien.enrollment.fitting import Fitter, logistic
from mien.enrollment.learn import MAX_CLASSES, learn
from mien.enrollment.reference_faces import Exemplars
from mien.types import EXPRESSIONS


def test_logistic_finds_where_the_slope_is_flat() -> None:
    random = np.random.default_rng(0)
    inputs, positive = random.normal(0, 1, (60, 4)), random.random(60) < 0.4
    weight, start, hold = random.random(60), random.normal(0, 1, 4), np.full(4, 0.5)
    found = logistic(inputs, positive, weight, start, hold)
    share = 1 / (1 + np.exp(-inputs @ found))
    assert inputs.T @ (weight * (share - positive)) + hold * (found - start) == pytest.approx(np.zeros(4), abs=0.02)


def test_a_class_is_told_from_basic_ones_and_costs_no_more_than_allowed(exemplars: Exemplars) -> None:
    made, report = learn(EMPTY, "wink", drawn(5, 1, shift=9), exemplars)
    others, same = drawn(800, 2), drawn(80, 3, shift=9)
    new, basic = made.read(same.probabilities, same.embedding), made.read(others.probabilities, others.embedding)
    assert new.sum(1) == pytest.approx(np.ones(80))
    assert basic.sum(1) == pytest.approx(np.ones(800))
    assert (new.argmax(1) == 8).mean() > 0.9
    assert (basic.argmax(1) == 8).mean() < 0.02
    assert report.loss <= 0.01
    assert report.recognized == 1.0
    assert report.examples == 5
    assert "wink: 5 examples, 100% recognized" in str(report)


@pytest.mark.parametrize("limit", [0.005, 0.05])
def test_the_loss_reported_is_what_the_judging_half_loses(exemplars: Exemplars, limit: float) -> None:
    """Classes that overlap with basic ones press against the limit, all together."""
    personal = EMPTY
    for i in range(3):
        personal, report = learn(personal, f"new {i}", drawn(20, 10 + i, shift=4, direction=8 + i), exemplars, limit)
    odd = Fitter(exemplars, limit).judges
    embedding = exemplars.places + exemplars.mean
    read = personal.read(exemplars.probabilities[odd], embedding[odd])
    before = (exemplars.probabilities[odd].argmax(1) == exemplars.label[odd]).mean()
    assert report.loss == pytest.approx(before - (read.argmax(1) == exemplars.label[odd]).mean(), abs=1e-6)
    assert 0 < report.loss <= limit


def test_each_source_of_basic_faces_keeps_its_accuracy(exemplars: Exemplars) -> None:
    """A class that only resembles the faces of one source must not spend what the other one saves."""
    second = exemplars.source == 1
    places = exemplars.places.copy()
    places[second, 9] += 3
    skewed = replace(exemplars, places=places)
    made, _ = learn(EMPTY, "wink", drawn(20, 1, shift=5), skewed, 0.02)
    rows = np.flatnonzero(second & Fitter(skewed, 0.02).judges)
    read = made.read(skewed.probabilities[rows], places[rows] + exemplars.mean)
    right = skewed.probabilities[rows].argmax(1) == skewed.label[rows]
    assert 0 < (right & (read.argmax(1) == 8)).mean() <= 0.02


def test_examples_that_disagree_are_refused(exemplars: Exemplars) -> None:
    with pytest.raises(EnrolmentRefused, match=r"50 examples of 'mixed' do not agree|looks too much like"):
        learn(EMPTY, "mixed", drawn(50, 4), exemplars)
    learn(EMPTY, "of one kind", drawn(50, 4, shift=9), exemplars)


def test_a_copy_of_a_basic_class_is_refused_and_named(exemplars: Exemplars) -> None:
    glad = drawn(80, 5)
    rows = np.arange(80) % 8 == 1
    with pytest.raises(EnrolmentRefused, match=r"looks too much like happiness.*allow a larger loss"):
        learn(EMPTY, "glee", Examples(glad.embedding[rows], glad.probabilities[rows]), exemplars, 0.001)


def test_a_copy_of_a_learned_class_is_refused_and_named(exemplars: Exemplars) -> None:
    made, _ = learn(EMPTY, "wink", drawn(20, 1, shift=9), exemplars)
    with pytest.raises(EnrolmentRefused, match="looks like 'wink', learned before"):
        learn(made, "blink", drawn(20, 50, shift=9), exemplars)


def test_the_same_example_cannot_have_two_labels(exemplars: Exemplars) -> None:
    examples = drawn(3, 1, shift=9)
    made, _ = learn(EMPTY, "wink", examples, exemplars)
    with pytest.raises(InputError, match="example 1 of 'blink' is an example of 'wink' already"):
        learn(made, "blink", examples, exemplars)
    with pytest.raises(InputError, match="example 1 of 'wink' is an example of 'wink' already; leave it out"):
        learn(made, "wink", examples, exemplars)
    more, report = learn(made, "wink", drawn(3, 7, shift=9), exemplars)
    assert report.examples == len(more.examples["wink"]) == 6
    assert len(made.examples["wink"]) == 3


def test_many_classes_share_the_limit_and_there_is_an_end(exemplars: Exemplars) -> None:
    made = EMPTY
    for i in range(20):
        made, report = learn(made, f"new {i}", drawn(3, 100 + i, shift=9, direction=10 + i), exemplars)
    others = drawn(200, 2)
    assert made.read(others.probabilities, others.embedding).sum(1) == pytest.approx(np.ones(200))
    assert report.loss <= 0.01
    full = replace(made, examples={f"x{i}": drawn(1, 900 + i, shift=9) for i in range(MAX_CLASSES)})
    with pytest.raises(InputError, match="32 learned expressions already"):
        learn(full, "one more", drawn(3, 1, shift=9), exemplars)


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("happiness", "knows already"), ("Uncertain", "knows already"), ("  ", "empty"), ("a\x00b", "unprintable"),
        ("x" * 41, "longer than 40"), ("WINK", "'wink' exists already"), (3, "is int"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be(exemplars: Exemplars, label: str, told: str) -> None:
    made, _ = learn(EMPTY, "wink", drawn(2, 1, shift=9), exemplars)
    with pytest.raises(InputError, match=told):
        learn(made, label, drawn(2, 2, shift=9), exemplars)


def test_rename_and_remove_leave_the_others_as_they_were(exemplars: Exemplars) -> None:
    made, _ = learn(EMPTY, "wink", drawn(5, 1, shift=9), exemplars)
    made, _ = learn(made, "pout", drawn(5, 2, shift=9, direction=10), exemplars)
    face = drawn(8, 3, shift=9)
    before = made.read(face.probabilities, face.embedding)
    renamed = made.renamed("wink", "left wink")
    assert renamed.labels == ("left wink", "pout")
    assert made.labels == ("wink", "pout")
    assert renamed.read(face.probabilities, face.embedding) == pytest.approx(before)
    left = made.removed("pout").read(face.probabilities, face.embedding)
    assert left[:, 8] / left[:, 0] == pytest.approx(before[:, 8] / before[:, 0])
    for wrong in (lambda: made.renamed("x", "y"), lambda: made.removed("x"), lambda: made.renamed("wink", "pout")):
        with pytest.raises(InputError, match=r"there is|exists already"):
            wrong()


def test_unfolded_weights_are_those_that_were_fitted(exemplars: Exemplars) -> None:
    fitter, examples = Fitter(exemplars, 0.01), drawn(6, 1, shift=3)
    rows = fitter.inputs(examples)
    fitted = fitter.fit(rows, [])
    made = Personal("", EXPRESSIONS, {"wink": examples}, fitter.unfold([fitted]))
    odds = made.read(examples.probabilities, examples.embedding)[:, 8]
    assert odds / (1 - odds) == pytest.approx(np.exp(rows @ fitted), rel=1e-3)
