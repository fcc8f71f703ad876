"""From trained weights to a student that can be deployed: affect head, temperature, held-out figures, card."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.bundle.card import Calibration, ModelCard, TrainingSet
from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.data.datasets import TERMS
from mien_train.data.sets import check_anchors, learned_labels, load_sets, load_with_landmarks, without_training
from mien_train.evaluation.calibrate import fit_temperature, held_out_temperature
from mien_train.evaluation.evaluate import Evaluation, count_macs, fit_affect_head, test_predictions
from mien_train.evaluation.kept_affect import keep_affect
from mien_train.evaluation.metrics import calibration_error, expression_metrics, kept_at
from mien_train.evaluation.predict import Predictions, predict
from mien_train.loop.run_folder import TAUGHT
from mien_train.models.checkpoints import load_student, save_checkpoint
from mien_train.models.student import Student
from mien_train.recipe import Recipe
from mien_train.semi.pools import load_sets_of
from mien_train.settings import apply_changes, build

LIMITS = (
    "Reads what a face shows, not what a person feels. Trained mostly on frontal and near-frontal faces from the web: "
    "expect worse on profiles, covered mouths or eyes, strong backlight, faces under about 48 px, small children and "
    "groups that those pictures show seldom. Contempt, fear and disgust are its weakest classes. Not for decisions "
    "about people such as hiring, policing, insurance, medical diagnosis or emotion inference at work or in schools."
)
FINISHING = ("data.anchors", "data.anchor_weight", "data.calibration", "data.calibration_weight", "data.contempt")
LEFT_OUT = "left_out"
"""Key in a checkpoint's state: ``data.calibration`` of the training, which trained on no face that is in these sets."""
NO_AFFECT = " Valence and arousal were not learned, so it tells none."
ONLY = " It tells only the expressions that it was shown: {labels}."


def finish(path: Path, root: Path | None, changes: tuple[str, ...] = ()) -> Evaluation:
    """Fit the affect head and the temperature, evaluate on the test sets, and write weights and card into ``path``.

    Without a test set the figures are those of the validation images, and their names say so. ``changes`` are
    ``key.sub=value`` pairs that override the recipe of the training; only what ``FINISHING`` names can change now.
    """
    student, recipe, state = load_student(path)
    left_out = tuple(state.setdefault(LEFT_OUT, list(recipe.data.calibration)))
    trained = replace(recipe, data=replace(recipe.data, calibration=left_out))
    recipe = _changed(recipe, changes)
    check_anchors(recipe.data)
    _set_prior(student, recipe, state)
    # A student of fer-train semi was trained on the unlabeled sets too.
    load = load_sets_of if recipe.semi.pseudo and state.get("quality") else load_sets
    training, validation = load(trained, root)
    held_out = {f"{item.faces.name}, validation": predict(student, item, recipe.crop).labeled() for item in validation}
    strangers: dict[str, Predictions] = {}
    for name in recipe.data.calibration:
        item = load_with_landmarks(name, root)
        if name not in left_out:
            item = without_training(item, training, recipe.data.near_duplicates)
        strangers[Path(name).as_posix()] = predict(student, item, recipe.crop).labeled()
    judged = {**held_out, **strangers}
    weights = [1.0] * len(held_out) + [recipe.data.calibration_weight] * len(strangers)
    temperature = fit_temperature(student, list(judged.values()), weights)
    figures: dict[str, Any] = {}
    affect = None
    once = {item.faces.name: item for item in training}.values()
    sets = [TrainingSet(item.faces.name, len(item.faces), terms_of(item.faces.name)) for item in once]
    if recipe.data.affect:
        fit, plain = fit_affect_head(student, recipe, root, training)
        affect = plain.affect, fit.held_out
        student.affect.weight.data = torch.from_numpy(fit.head.weight.T).float()
        student.affect.bias.data = torch.from_numpy(fit.head.bias).float()
        figures[f"{recipe.data.affect}, 5-fold"] = fit.figures
        count = int(fit.figures["head"]["images"])
        if recipe.data.affect_unseen:
            count -= int(fit.figures["last_fold"]["images"])
        sets.append(TrainingSet(f"{recipe.data.affect}, affect head only", count, terms_of(recipe.data.affect)))
    elif inherited := keep_affect(student, recipe, [item for item in [*training, *validation] if len(item.faces)]):
        figures[inherited[0]] = inherited[1]
    else:
        torch.nn.init.zeros_(student.affect.weight)
        torch.nn.init.zeros_(student.affect.bias)
    # Checkpoints of before the key was there: their teachers knew all.
    labels = learned_labels(training, state.get(TAUGHT, EXPRESSIONS if recipe.distill.teacher else ()))
    # Without a test set the temperature, but nothing else, was fitted on the images that it is judged on.
    tests = test_predictions(student, recipe, root) or {
        f"{item.faces.name}, validation": predict(student, item, recipe.crop).labeled() for item in validation
    }
    for name in strangers.keys() & tests.keys():  # judged by temperatures that were fitted without these faces
        fair = held_out_temperature(list(judged.values()), list(judged).index(name), weights)
        tests[name] = replace(strangers[name], temperature=fair)
    tests = {name: _deployed(predictions, labels) for name, predictions in tests.items()}
    for name, predictions in tests.items():
        figures[name] = expression_metrics(predictions.probabilities(), predictions.expression)
        if name in strangers:  # nobody else can tell: the folds are known only here
            told = kept_at(predictions.probabilities(every_class=True), predictions.expression)
            figures[name]["at_min_confidence"] = told
    card = ModelCard(
        name=f"mien-{recipe.model.backbone.replace('tf_', '').replace('_', '-')}-{recipe.crop.size}",
        version=version("mien"),
        labels=labels,
        crop=recipe.crop,
        embedding=student.expression.in_features,
        backbone=recipe.model.backbone,
        macs=count_macs(student, recipe.crop.size),
        parameters=sum(p.numel() for p in student.parameters()),
        calibration=Calibration(temperature, errors(tests, False), errors(tests, True)),
        metrics=figures,
        training=tuple(sets),
        limits=_limits(labels, affect=any("accuracy" not in values for values in figures.values())),
        files={},
        origin=state.get("origin", ""),
    )
    state["recipe"], state["ema"] = recipe.to_dict(), student.state_dict()
    state["card"] = json.loads(card.to_json())
    save_checkpoint(path, state)
    return Evaluation(figures, tests, affect)


def _changed(recipe: Recipe, changes: tuple[str, ...]) -> Recipe:
    for change in changes:
        if change.partition("=")[0].strip() not in FINISHING:
            raise InputError(f"--set {change}: the training is over; finish can change {', '.join(FINISHING)}")
    values = recipe.to_dict()
    apply_changes(values, changes)
    return build(Recipe, values)


def _set_prior(student: Student, recipe: Recipe, state: dict[str, Any]) -> None:
    """Multiply the odds of contempt by ``data.contempt``. ``state`` keeps the factor, so that another call replaces
    it."""
    factor = recipe.data.contempt / state.get("contempt", 1.0)
    student.expression.bias.data[EXPRESSIONS.index("contempt")] += math.log(factor)
    state["contempt"] = recipe.data.contempt


def _deployed(predictions: Predictions, labels: tuple[str, ...]) -> Predictions:
    """Predictions without the classes that were not learned, like those of the exported graph."""
    known = np.isin(EXPRESSIONS, labels)
    return (
        predictions
        if known.all()
        else replace(predictions, logits=np.where(known, predictions.logits, np.nan).astype(np.float32))
    )


def _limits(labels: tuple[str, ...], *, affect: bool) -> str:
    only = "" if labels == EXPRESSIONS else ONLY.format(labels=", ".join(labels))
    return LIMITS + only + ("" if affect else NO_AFFECT)


def errors(tests: dict[str, Predictions], calibrated: bool, *, every_class: bool = False) -> dict[str, float]:
    """Calibration error by set, over the classes of the set or over all."""
    made = {name: part.probabilities(calibrated=calibrated, every_class=every_class) for name, part in tests.items()}
    return {name: round(calibration_error(made[name], part.expression), 4) for name, part in tests.items()}


def terms_of(name: str) -> str:
    """Those of a data set, for the card."""
    return TERMS.get(name.split("/")[0], "the user's own")
