import numpy as np
import pytest

from mien_train.affect import RidgePath, fit_affect, folds
from mien_train.calibrate import fit_temperature
from mien_train.metrics import affect_metrics, calibration_error, confusion, expression_metrics, wilson
from mien_train.predict import Predictions


def predictions(count: int, noise: float, seed: int = 0, dim: int = 12) -> Predictions:
    """Labels, logits that know them but for noise, an embedding that carries the affect but for noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 8, count)
    logits = (np.eye(8)[labels] * 3 + rng.normal(0, noise, (count, 8))).astype(np.float32)
    affect = np.clip(rng.normal(0, 0.4, (count, 2)), -1, 1).astype(np.float32)
    mix = np.random.default_rng(7).normal(0, 1, (2, dim))
    embedding = (affect @ mix + rng.normal(0, noise / 4, (count, dim))).astype(np.float32)
    return Predictions(logits, affect, embedding, labels, affect)


def test_perfect_and_chance_figures() -> None:
    labels = np.arange(8).repeat(5)
    perfect = expression_metrics(np.eye(8)[labels], labels)
    assert perfect["accuracy"] == perfect["macro_f1"] == 1
    assert perfect["calibration_error"] == 0
    one_answer = expression_metrics(np.tile(np.eye(8)[1], (40, 1)), labels)
    assert one_answer["accuracy"] == 0.125
    assert one_answer["recall"]["happiness"] == 1
    assert one_answer["calibration_error"] == pytest.approx(0.875)


def test_a_seven_class_set_is_scored_over_its_seven() -> None:
    made = predictions(200, 0.1)
    seven = Predictions(*(part[made.expression != 7] for part in made.__dict__.values()))
    assert seven.probabilities()[:, 7].max() == 0
    assert seven.classes.tolist() == list(range(7))
    assert len(expression_metrics(seven.probabilities(), seven.expression)["recall"]) == 7


def test_confusion_has_truth_in_rows() -> None:
    matrix = confusion(np.eye(8)[[2, 2, 3]], np.array([1, 2, 3]))
    assert matrix[1, 2] == matrix[2, 2] == matrix[3, 3] == 1
    assert matrix.sum() == 3


def test_wilson_interval_of_a_known_case() -> None:
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.4901, abs=1e-3)
    assert high == pytest.approx(0.9433, abs=1e-3)


def test_concordance_is_one_for_the_truth_and_pays_for_offset_and_scale() -> None:
    truth = np.random.default_rng(0).normal(0, 0.4, (300, 2)).astype(np.float32)
    assert affect_metrics(truth, truth)["ccc_valence"] == 1
    moved = affect_metrics(truth * 0.5 + 0.2, truth)
    assert moved["ccc_valence"] < 0.75
    assert moved["rmse_valence"] > 0.2


def test_temperature_mends_overconfidence() -> None:
    made = predictions(4000, 2.0)
    hot = Predictions(made.logits * 3, *list(made.__dict__.values())[1:])
    temperature = fit_temperature([hot])
    assert 3 < temperature < 5
    before = calibration_error(hot.probabilities(), hot.expression)
    assert calibration_error(hot.probabilities(temperature), hot.expression) < before / 3


def test_folds_spread_every_class_and_repeat() -> None:
    labels = np.arange(8).repeat(10)
    fold = folds(labels, 3)
    assert all((np.bincount(fold[labels == c]) == 2).all() for c in range(8))
    np.testing.assert_array_equal(fold, folds(labels, 3))


def test_ridge_without_penalty_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(2, 3, (60, 12)), rng.normal(0, 0.03, (12, 2))
    fitted = RidgePath(x, x @ weight + 0.1).fit(1e-9)
    np.testing.assert_allclose(fitted(x), np.clip(x @ weight + 0.1, -1, 1), atol=1e-4)


def test_affect_head_learns_where_there_is_something_to_learn_and_only_there() -> None:
    made = predictions(400, 0.4)
    _, figures = fit_affect(made, made)
    assert figures["head"]["ccc_valence"] > 0.9
    assert figures["class_means"]["ccc_valence"] < 0.3
    rng = np.random.default_rng(1)
    nothing = Predictions(made.logits, made.affect, made.embedding[rng.permutation(400)], made.expression, made.affect)
    _, figures = fit_affect(nothing, nothing)
    assert abs(figures["head"]["ccc_valence"]) < 0.2
