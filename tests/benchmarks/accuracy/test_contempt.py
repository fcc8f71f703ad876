"""Tests of the comparison of students that find contempt equally often."""

import numpy as np
import pytest

from benchmarks.accuracy.contempt import accuracies, factor_for
from mien_train.evaluation.predict import Predictions

CONTEMPT = 7


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 2, (1000, 8)).astype(np.float32)


def made(logits, expression):
    count = len(logits)
    return Predictions(
        logits,
        np.zeros((count, 2), np.float32),
        np.zeros((count, 4), np.float32),
        np.ones((count, 1), np.float32),
        np.asarray(expression, np.int64),
        np.full((count, 2), np.nan, np.float32),
    )


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_the_factor_gives_the_share_that_is_asked_for(logits, share):
    moved = logits.copy()
    moved[:, CONTEMPT] += np.log(factor_for(logits, share))
    assert (moved.argmax(1) == CONTEMPT).mean() == pytest.approx(share, abs=0.002)


def test_a_class_that_a_model_does_not_know_is_no_rival(logits):
    unknown = logits.copy()
    unknown[:, 2] = np.nan
    silent = logits.copy()
    silent[:, 2] = -50
    assert factor_for(unknown, 0.1) == pytest.approx(factor_for(silent, 0.1), rel=1e-5)


def test_accuracy_with_the_factor_and_on_faces_without_contempt(logits):
    expression = logits.argmax(1)
    exact = accuracies(made(logits, expression), 1.0)
    assert exact["accuracy"]["mean"] == exact["without contempt"]["mean"] == 1
    assert exact["without contempt"]["count"] == (expression != CONTEMPT).sum()
    never = accuracies(made(logits, expression), 1e-9)
    assert never["accuracy"]["mean"] == pytest.approx((expression != CONTEMPT).mean(), abs=1e-4)
    assert never["without contempt"]["mean"] == 1


def test_a_set_without_contempt_is_scored_over_its_own_classes(logits):
    rows = logits.argmax(1) != CONTEMPT
    figures = accuracies(made(logits[rows], logits[rows].argmax(1)), 1e6)
    assert figures["accuracy"]["mean"] == 1
    assert "without contempt" not in figures
