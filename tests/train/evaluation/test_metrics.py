from dataclasses import replace

import numpy as np
import pytest
import torch

from mien_train.evaluation.metrics import (
    accuracy_difference,
    affect_metrics,
    bootstrap,
    calibration_error,
    concordance,
    confusion,
    expression_metrics,
    kept_at,
)
from mien_train.evaluation.predict import Predictions


def test_perfect_and_chance_figures() -> None:
    labels = np.arange(8).repeat(5)
    perfect = expression_metrics(np.eye(8)[labels], labels)
    assert perfect["accuracy"] == perfect["macro_f1"] == 1
    assert perfect["calibration_error"] == 0
    assert perfect["intervals"]["accuracy"] == [1, 1]
    one_answer = expression_metrics(np.tile(np.eye(8)[1], (40, 1)), labels)
    assert one_answer["accuracy"] == 0.125
    assert one_answer["recall"]["happiness"] == 1
    assert one_answer["calibration_error"] == pytest.approx(0.875)


def test_figures_by_hand() -> None:
    """Three classes. True 0: four, of which three right; true 1: two, one right; true 2: two, both taken for 1."""
    labels, answers = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 0, 1, 1])
    sure = np.array([0.9, 0.9, 0.9, 0.9, 0.7, 0.7, 0.7, 0.7])
    probabilities = np.full((8, 8), 0.0)
    probabilities[np.arange(8), (answers + 3) % 8] = 1 - sure
    probabilities[np.arange(8), answers] = sure
    made = expression_metrics(probabilities, labels)
    assert made["images"] == 8
    assert made["accuracy"] == 0.5
    assert made["recall"] == {"neutral": 0.75, "happiness": 0.5, "sadness": 0.0}
    f1 = (2 * 3 / (4 + 4) + 2 * 1 / (2 + 4) + 0) / 3  # 2 right / (true + answered), over the classes that occur
    assert made["macro_f1"] == pytest.approx(f1, abs=1e-4)
    # Sure at 0.9, right three times of four; sure at 0.7, right once of four: half of the images each.
    assert made["calibration_error"] == pytest.approx((0.15 + 0.45) / 2, abs=1e-4)
    assert calibration_error(probabilities, labels) == pytest.approx(0.3, abs=1e-6)


def test_the_bootstrap_interval_of_a_proportion_is_about_wilsons() -> None:
    right, count, z = 70, 100, 1.96
    labels = np.zeros(count, np.int64)
    labels[50:] = 1
    answers = np.where(np.arange(count) % 10 < 7, labels, 1 - labels)
    low, high = expression_metrics(np.eye(8)[answers], labels)["intervals"]["accuracy"]
    share = right / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    assert low == pytest.approx(middle - half, abs=0.025)
    assert high == pytest.approx(middle + half, abs=0.025)


def test_bootstrap_repeats_and_narrows_with_the_root_of_the_count() -> None:
    def widths(count: int) -> float:
        values = torch.from_numpy(np.random.default_rng(0).normal(0, 1, count))
        low, high = bootstrap(lambda rows: values[rows].mean()[None], count)[:, 0]
        again = bootstrap(lambda rows: values[rows].mean()[None], count)[:, 0]
        assert (low, high) == tuple(again)
        return float(high - low)

    assert widths(100) == pytest.approx(2 * 1.96 / 10, rel=0.2)
    assert widths(100) / widths(1600) == pytest.approx(4, rel=0.25)


def test_a_rare_class_that_is_always_right_has_no_interval_down_to_zero() -> None:
    labels = np.array([0] * 40 + [1])
    made = expression_metrics(np.eye(8)[labels], labels)
    assert made["intervals"]["recall"]["happiness"] == [1, 1]
    assert made["intervals"]["macro_f1"] == [1, 1]


def test_a_difference_on_the_same_images_is_paired() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, 400)
    first = np.where(rng.random(400) < 0.6, labels, (labels + 1) % 8)
    second = first.copy()
    second[:12] = (labels[:12] + 1) % 8  # wrong wherever first was right
    made, interval = accuracy_difference(np.eye(8)[first], np.eye(8)[second], labels)
    lost = (first[:12] == labels[:12]).mean() * 12 / 400
    assert made == pytest.approx(lost, abs=1e-4)
    assert 0 < interval[0] <= made <= interval[1]
    # Two accuracies of 400 images are each known to about 0.05; their difference, image by image, far better.
    assert interval[1] - interval[0] < 0.03
    assert accuracy_difference(np.eye(8)[second], np.eye(8)[first], labels)[0] == -made
    assert accuracy_difference(np.eye(8)[first], np.eye(8)[first], labels) == (0, (0, 0))


def test_a_seven_class_set_is_scored_over_its_seven() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 60)
    logits = rng.normal(0, 1, (60, 8)).astype(np.float32)
    logits[:, 7] = 9  # sure of the class that the set lacks
    blank = np.zeros((60, 2), np.float32)
    made = Predictions(logits, blank, blank, np.ones((60, 1), np.float32), labels, blank)
    assert made.probabilities()[:, 7].max() == 0
    assert made.classes.tolist() == list(range(7))
    assert made.accuracy() == (logits[:, :7].argmax(1) == labels).mean()
    assert len(expression_metrics(made.probabilities(), made.expression)["recall"]) == 7
    unlabeled = replace(made, expression=np.where(np.arange(60) < 20, -1, labels))
    assert len(unlabeled.labeled().logits) == 40
    assert unlabeled.accuracy() == (logits[20:, :7].argmax(1) == labels[20:]).mean()
    ignorant = replace(made, logits=np.where(np.arange(8) == 2, np.nan, logits).astype(np.float32))
    np.testing.assert_allclose(ignorant.probabilities().sum(1), 1)
    assert ignorant.probabilities()[:, 2].max() == 0


def test_confusion_has_truth_in_rows() -> None:
    matrix = confusion(np.eye(8)[[2, 2, 3]], np.array([1, 2, 3]))
    assert matrix[1, 2] == matrix[2, 2] == matrix[3, 3] == 1
    assert matrix.sum() == 3


def test_affect_figures_by_hand() -> None:
    rng = np.random.default_rng(0)
    truth = np.clip(rng.normal(0, 0.4, (300, 2)), -1, 1).astype(np.float32)
    made = (0.5 * truth + 0.2 + rng.normal(0, 0.1, truth.shape)).astype(np.float32)
    figures = affect_metrics(made, truth)
    for column, name in enumerate(("valence", "arousal")):
        p, y = made[:, column].astype(float), truth[:, column].astype(float)
        covariance = ((p - p.mean()) * (y - y.mean())).mean()
        lin = 2 * covariance / (p.var() + y.var() + (p.mean() - y.mean()) ** 2)
        assert figures[f"ccc_{name}"] == pytest.approx(lin, abs=2e-3)
        assert figures[f"pcc_{name}"] == pytest.approx(np.corrcoef(p, y)[0, 1], abs=1e-4)
        assert figures[f"rmse_{name}"] == pytest.approx(np.sqrt(((p - y) ** 2).mean()), abs=1e-4)
        assert figures[f"sagr_{name}"] == pytest.approx((np.sign(p) == np.sign(y)).mean(), abs=1e-4)
        for measure in ("ccc", "pcc", "rmse", "sagr"):
            low, high = figures["intervals"][f"{measure}_{name}"]
            assert low < figures[f"{measure}_{name}"] < high
            assert high - low < 0.15
    perfect = affect_metrics(truth, truth)
    assert perfect["ccc_valence"] == perfect["sagr_arousal"] == 1
    assert perfect["rmse_valence"] == 0


def test_concordance_is_zero_where_nothing_varies() -> None:
    truth = np.random.default_rng(0).uniform(-1, 1, (20, 2)).astype(np.float32)
    assert concordance(truth, truth) == pytest.approx([1, 1])
    assert concordance(np.zeros_like(truth), truth).tolist() == [0, 0]


def test_what_a_least_confidence_leaves() -> None:
    confidence = np.array([0.4, 0.55, 0.75, 0.95])
    probabilities = np.zeros((4, 8))
    probabilities[:, 0], probabilities[:, 1:] = confidence, ((1 - confidence) / 7)[:, None]
    half, most, none = kept_at(probabilities, np.array([0, 1, 0, 0]), (0.5, 0.7, 0.99))
    assert half == {"min_confidence": 0.5, "labelled": 0.75, "accuracy": 0.667, "promised": 0.75}
    assert (most["labelled"], most["accuracy"], most["promised"]) == (0.5, 1.0, 0.85)
    assert none == {"min_confidence": 0.99, "labelled": 0.0, "accuracy": None, "promised": None}


def test_the_runtime_gives_classes_that_a_set_lacks() -> None:
    """A set of seven classes is scored over its seven, but a face of it can be called the eighth on a device."""
    logits = np.zeros((2, 8), np.float32)
    logits[:, 7] = 3
    empty = np.zeros((2, 2), np.float32)
    made = Predictions(logits, empty, empty, np.ones((2, 1), np.float32), np.array([0, 1]), empty)
    assert made.probabilities()[0, 7] == 0
    assert made.probabilities(every_class=True)[0].argmax() == 7
