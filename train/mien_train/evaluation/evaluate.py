"""How good a network is: held-out figures for each set, of a checkpoint, a bundle or a teacher."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis
from numpy.typing import NDArray

from mien.bundle import find_bundle
from mien.errors import InputError
from mien_train.data.batches import Faces
from mien_train.data.sets import load_with_landmarks
from mien_train.evaluation.affect_head import FOLD_SEED, FOLDS, AffectFit, Anchors, fit_affect, folds
from mien_train.evaluation.metrics import accuracy_difference, affect_metrics, expression_metrics
from mien_train.evaluation.predict import Predictions, joined, predict, predict_teacher
from mien_train.models.checkpoints import load_student
from mien_train.models.student import Student
from mien_train.recipe import DataRecipe, Recipe
from mien_train.teachers import load_teacher, members_of


@dataclass(frozen=True, eq=False)
class Evaluation:
    """``figures`` by set. ``tests``: predictions on each test set. ``affect``: truth and held-out predictions of
    valence and arousal, if there are any."""

    figures: dict[str, Any]
    tests: dict[str, Predictions]
    affect: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None


def test_predictions(student: Student, recipe: Recipe, root: Path | None) -> dict[str, Predictions]:
    """Predictions on the labeled images of every test set, by its name."""
    return {
        name: predict(student, load_with_landmarks(name, root), recipe.crop).labeled()
        for name in as_named(recipe.data.test)
    }


def as_named(sets: tuple[str, ...]) -> tuple[str, ...]:
    """Names as a set itself has them and a card: a folder without ``./`` and without a slash at the end."""
    return tuple(Path(name).as_posix() for name in sets)


def affect_faces(name: str, root: Path | None) -> Faces:
    """The images of a set that have human ratings of valence and arousal."""
    item = load_with_landmarks(name, root)
    return item.subset(~np.isnan(item.faces.affect[:, 0]))


def fit_affect_head(
    student: Student, recipe: Recipe, root: Path | None, training: Sequence[Faces] = ()
) -> tuple[AffectFit, Predictions]:
    """The affect head for this student, from the images with human ratings, and the student's predictions on these.

    ``training``: the training sets, which include those of ``data.anchors``.
    """
    item = affect_faces(recipe.data.affect, root)
    plain, mirrored = both_ways(student, item, recipe)
    names = as_named(recipe.data.anchors)
    posed = [both_ways(student, part, recipe) for part in training if part.faces.name in names]
    anchors = None
    if posed:
        one, other = (joined(list(parts)) for parts in zip(*posed, strict=True))
        anchors = Anchors(one, other, recipe.data.anchor_weight)
    return fit_affect(plain, mirrored, unseen=recipe.data.affect_unseen, anchors=anchors), plain


def both_ways(student: Student, item: Faces, recipe: Recipe) -> tuple[Predictions, Predictions]:
    """Predictions on crops as they are, and on their mirror images."""
    return predict(student, item, recipe.crop), predict(student, item, recipe.crop, mirrored=True)


def evaluate(source: str | Path, root: Path | None, sets: tuple[str, ...] = ()) -> Evaluation:
    """Figures of a checkpoint, a bundle or a teacher (see ``load_teacher``), on ``sets`` or the usual test sets.

    Valence and arousal of a checkpoint come from heads that are fitted anew, by cross-validation. Those of others come
    from their own head, on the last fold only, since that head may have been fitted on the rest. The recipes of our
    teachers leave that fold out.
    """
    sets = as_named(sets)
    if Path(source).suffix == ".pt":
        return _evaluate_checkpoint(Path(source), root, sets)
    teacher, usual = load_teacher(source), DataRecipe()
    tests = {name: _labeled(predict_teacher(teacher, load_with_landmarks(name, root))) for name in sets or usual.test}
    figures: dict[str, Any] = {name: expression_metrics(p.probabilities(), p.expression) for name, p in tests.items()}
    if sets:
        return Evaluation(figures, tests)
    item = affect_faces(usual.affect, root)
    last = folds(item.faces.expression, FOLD_SEED) == FOLDS - 1
    predictions = predict_teacher(teacher, item.subset(last))
    if np.isnan(predictions.predicted_affect).any():
        return Evaluation(figures, tests)
    figures[f"{usual.affect}, own head"] = {
        "last_fold": affect_metrics(predictions.predicted_affect, predictions.affect)
    }
    return Evaluation(figures, tests, (predictions.affect, predictions.predicted_affect))


def _evaluate_checkpoint(path: Path, root: Path | None, sets: tuple[str, ...]) -> Evaluation:
    student, recipe, _ = load_student(path)
    names = sets or as_named(recipe.data.test)
    tests = {name: _labeled(predict(student, load_with_landmarks(name, root), recipe.crop)) for name in names}
    figures: dict[str, Any] = {
        name + (", TRAINED ON" if name in recipe.data.shares else ""): expression_metrics(
            p.probabilities(), p.expression
        )
        for name, p in tests.items()
    }
    affect = None
    if recipe.data.affect and not sets:
        fit, plain = fit_affect_head(student, recipe, root)
        figures[f"{recipe.data.affect}, 5-fold"] = fit.figures
        affect = plain.affect, fit.held_out
    figures["macs"] = count_macs(student, recipe.crop.size)
    return Evaluation(figures, tests, affect)


def compare(first: str | Path, second: str | Path, root: Path | None, sets: tuple[str, ...] = ()) -> dict[str, Any]:
    """Accuracy of ``first`` minus that of ``second``, by set and on the same images, with paired 95 % intervals.

    ``trained_on``, where at least one of them was trained on the set: which of the two.
    """
    sets = as_named(sets) or DataRecipe().test
    teachers = [load_teacher(source) for source in (first, second)]
    learned = [trained_on(source) for source in (first, second)]
    figures: dict[str, Any] = {}
    for name in sets:
        item = load_with_landmarks(name, root)
        pair = [_labeled(predict_teacher(teacher, item)) for teacher in teachers]
        one, two = (part.probabilities() for part in pair)
        difference, interval = accuracy_difference(one, two, pair[0].expression)
        accuracies = [part.accuracy() for part in pair]
        figures[name] = {"accuracies": accuracies, "difference": difference, "interval": interval}
        if any(name in names for names in learned):
            figures[name]["trained_on"] = [name in names for names in learned]
    means = [float(np.mean([f["accuracies"][k] for f in figures.values()])) for k in (0, 1)]
    figures["mean"] = {"accuracies": means, "difference": means[0] - means[1]}
    return figures


def trained_on(source: str | Path) -> set[str]:
    """Names of the sets that ``source`` (as ``load_teacher`` takes it) was trained on, as its card or recipe says; for
    an ensemble, those of all members."""
    path = Path(source)
    if path.suffix == ".pt":
        return set(load_student(path)[1].data.shares)
    if path.suffix == ".toml":
        return {name for member in members_of(path) for name in trained_on(member)}
    return {part.name for part in find_bundle(path).card.training}


def _labeled(predictions: Predictions) -> Predictions:
    if not (predictions.expression >= 0).any():
        raise InputError("this set has no expression labels to evaluate on")
    return predictions.labeled()


def count_macs(student: Student, size: int) -> int:
    """Multiply-accumulates for one crop, counted by fvcore. Batch norms are left out, because the export folds them
    into the convolutions."""
    crop = torch.zeros((1, size, size, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analysis = FlopCountAnalysis(student.eval(), crop)
        counts = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
    return int(counts.total() - counts["batch_norm"])
