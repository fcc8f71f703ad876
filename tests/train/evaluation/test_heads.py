"""The heads that are fitted after training: the temperature, and valence and arousal."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mien_train.evaluation.affect_head import FOLDS, AffectFit, Anchors, RidgePath, fit_affect, folds, head_features
from mien_train.evaluation.calibrate import fit_temperature, held_out_temperature
from mien_train.evaluation.metrics import affect_metrics, calibration_error
from mien_train.evaluation.predict import Predictions
from mien_train.models.student import Student
from mien_train.recipe import ModelRecipe


def predictions(count: int, noise: float, seed: int = 0, dim: int = 12) -> Predictions:
    """Labels, logits that know them but for noise, an embedding that carries the affect but for noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 8, count)
    logits = (np.eye(8)[labels] * 3 + rng.normal(0, noise, (count, 8))).astype(np.float32)
    affect = np.clip(rng.normal(0, 0.4, (count, 2)), -1, 1).astype(np.float32)
    mix = np.random.default_rng(7).normal(0, 1, (2, dim))
    embedding = (affect @ mix + rng.normal(0, noise / 4, (count, dim))).astype(np.float32)
    return Predictions(logits, affect, embedding, np.ones((count, 1), np.float32), labels, affect)


def tempered(made: Predictions, student: Student) -> Predictions:
    log = student.log_temperature(torch.from_numpy(made.embedding)).detach().numpy()
    return replace(made, temperature=np.exp(log))


def test_temperature_mends_overconfidence_and_changes_no_answer() -> None:
    made = predictions(4000, 2.0)
    hot = replace(made, logits=made.logits * 3)
    student = small_student(hot)
    assert 3 < fit_temperature(student, [hot]) < 5
    mended = tempered(predictions(4000, 2.0, seed=1), student)
    mended = replace(mended, logits=mended.logits * 3)
    before = calibration_error(mended.probabilities(calibrated=False), mended.expression)
    assert calibration_error(mended.probabilities(), mended.expression) < before / 3
    assert (mended.probabilities().argmax(1) == mended.logits.argmax(1)).all()


def test_temperature_follows_the_face_where_sets_differ() -> None:
    """Half of the faces, told by their embedding, are overconfident, half too modest: one number would mend neither."""
    sets = []
    for seed, (factor, mark) in enumerate([(3.0, 5.0), (0.3, -5.0)]):
        made = predictions(3000, 2.0, seed)
        made.embedding[:, 0] = mark
        sets.append(replace(made, logits=made.logits * factor))
    student = small_student(sets[0])
    fit_temperature(student, sets)
    for part in sets:
        mended = tempered(part, student)
        assert calibration_error(mended.probabilities(), mended.expression) < 0.04
        assert calibration_error(mended.probabilities(calibrated=False), mended.expression) > 0.1


@pytest.mark.parametrize("count", [0, 1, 9])
def test_with_too_few_validation_images_every_temperature_is_one(count: int) -> None:
    """Whatever the temperatures of the student that it went on from."""
    made = predictions(max(count, 1), 1)
    student, sets = small_student(made), [made] * bool(count)
    assert fit_temperature(student, sets) == 1
    assert (tempered(made, student).temperature == 1).all()
    for place in range(len(sets)):
        assert (held_out_temperature(sets, place) == 1).all()


def small_student(made: Predictions) -> Student:
    """Only its temperature head is used, made to fit the embeddings."""
    student = Student(ModelRecipe("mobilenetv3_small_050", ""))
    student.log_temperature = torch.nn.Linear(made.embedding.shape[1], 1)
    return student


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
    fit = fit_affect(made, made)
    assert fit.figures["head"]["ccc_valence"] > 0.9
    assert fit.figures["class_means"]["ccc_valence"] < 0.3
    rng = np.random.default_rng(1)
    nothing = replace(made, embedding=made.embedding[rng.permutation(400)])
    fit = fit_affect(nothing, nothing)
    assert abs(fit.figures["head"]["ccc_valence"]) < 0.2


def test_figures_are_those_of_the_held_out_predictions() -> None:
    made = predictions(200, 1.0)
    fit = fit_affect(made, made)
    last = folds(made.expression, 0) == FOLDS - 1
    assert fit.held_out.shape == (200, 2)
    assert fit.figures["head"] == affect_metrics(fit.held_out, made.affect)
    assert fit.figures["last_fold"] == affect_metrics(fit.held_out[last], made.affect[last])
    assert fit.figures["last_fold"]["images"] == last.sum() < 50


def test_an_unseen_fold_leaves_no_trace_in_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mien_train.evaluation.affect_head.affect_metrics", lambda *_: {}
    )  # figures take longer than the heads
    made = predictions(120, 1.0)
    last = folds(made.expression, 0) == FOLDS - 1
    lies = replace(made, affect=np.where(last[:, None], -made.affect, made.affect).astype(np.float32))
    for unseen in (True, False):
        heads = [fit_affect(part, part, unseen=unseen).head for part in (made, lies)]
        assert np.allclose(heads[0].weight, heads[1].weight) == unseen
        assert np.allclose(heads[0].bias, heads[1].bias) == unseen


def test_posed_faces_hold_the_head_where_wild_ones_do_not_reach() -> None:
    """Faces at rest of another kind, told by their embedding, which a head of wild faces alone reads as unpleasant."""
    wild, posed = predictions(800, 1.0), predictions(200, 1.0, seed=3)
    rest = replace(
        posed, expression=np.zeros(200, np.int64), logits=np.eye(8, dtype=np.float32)[np.zeros(200, int)] * 4
    )
    rest.embedding[:, :] = wild.embedding[wild.affect[:, 0] < -0.4].mean(0)
    mean = wild.affect[wild.expression == 0, 0].mean()

    def reading(fit: AffectFit) -> float:
        return float(fit.head(head_features(rest))[:, 0].mean())

    alone, held = fit_affect(wild, wild), fit_affect(wild, wild, anchors=Anchors(rest, rest, 1.0))
    assert abs(reading(held) - mean) < abs(reading(alone) - mean) / 2
    ignored = fit_affect(wild, wild, anchors=Anchors(rest, rest, 1e-12))
    np.testing.assert_allclose(ignored.head.weight, alone.head.weight, atol=1e-6)


def test_a_small_set_of_strangers_has_its_say_in_the_temperature() -> None:
    """Faces like those trained on are many and well calibrated; the few strangers are overconfident."""
    known, strangers = predictions(5000, 2.0), predictions(400, 2.0, seed=5)
    known.embedding[:, 0], strangers.embedding[:, 0] = 5.0, -5.0
    strangers = replace(strangers, logits=strangers.logits * 3)
    student = small_student(known)
    fit_temperature(student, [known, strangers])
    for part in (known, strangers):
        mended = tempered(part, student)
        assert calibration_error(mended.probabilities(), mended.expression) < 0.07
    assert calibration_error(strangers.probabilities(calibrated=False), strangers.expression) > 0.2


def test_held_out_temperatures_are_those_of_heads_without_the_face() -> None:
    known, few = predictions(2000, 2.0), predictions(300, 2.0, seed=5)
    few = replace(few, logits=few.logits * 3)
    fair = held_out_temperature([known, few], 1)
    assert fair.shape == (300, 1)
    changed = replace(few, expression=few.expression.copy())
    rng_fold = np.random.default_rng(1).integers(5, size=300)
    changed.expression[rng_fold == 0] = (changed.expression[rng_fold == 0] + 1) % 8
    again = held_out_temperature([known, changed], 1)
    np.testing.assert_allclose(again[rng_fold == 0], fair[rng_fold == 0], rtol=1e-5)  # their labels were not seen
    assert np.abs(again - fair)[rng_fold != 0].max() > 1e-3
