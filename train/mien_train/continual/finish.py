"""From a student that has learned compounds to one that can be deployed: temperature, held-out figures, card."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mien.align import CropSpec
from mien.bundle.card import Calibration, ModelCard, TrainingSet, card_from_dict
from mien.errors import InputError, ModelInvalid
from mien.types import EXPRESSIONS
from mien_train.continual.classes import class_names
from mien_train.continual.network import grown_of
from mien_train.continual.recipe import ClassesRecipe, ContinualRecipe
from mien_train.continual.sets import Labeled, load_labeled, load_learning
from mien_train.data.sets import load_with_landmarks
from mien_train.evaluation.calibrate import fit_temperature, held_out_temperature
from mien_train.evaluation.evaluate import count_macs
from mien_train.evaluation.kept_affect import keep_affect
from mien_train.evaluation.metrics import expression_metrics
from mien_train.evaluation.predict import Predictions, predict
from mien_train.finish import LIMITS, NO_AFFECT, errors, terms_of
from mien_train.models.checkpoints import load_checkpoint, save_checkpoint
from mien_train.models.student import Student
from mien_train.settings import build

LEARNED = "learned"
"""Key in a checkpoint's state: ``from``, the student that learned the compounds, its ``card``, and the ``recipe``."""
POSED = (
    " {count} of its expressions are compounds, learned from {sets}, so expect less of them on other faces: few people "
    "ever show them so clearly, and a face that shows one expression may be called a compound of it."
)
MISSING = " It does not tell {labels}, which nobody showed in the faces that it learned compounds from."


def finish_grown(path: Path, root: Path | None) -> dict[str, Any]:
    """Fit the temperature for all classes together, evaluate, and write weights and card into the checkpoint ``path``
    of ``fer-train continual``. -> figures by set.

    Its classes are those that somebody shows in the faces that it learned from: a basic expression that nobody showed
    there was not defended against the new ones. All of them compete on every set. The temperature is fitted on the
    split ``validation`` beside the sets learned from, unless it was learned from too; where there is none, on the test
    sets, each face of which is then judged by a temperature that was fitted without it. Valence and arousal are those
    of the student before, if they still are what they were (``keep_affect``).
    """
    state = load_checkpoint(path)
    if LEARNED not in state:
        raise ModelInvalid(f"{path} does not say how it learned its compounds; make it anew with fer-train continual")
    if state[LEARNED]["card"] is None:
        raise ModelInvalid(
            f"{path} was learned by a student without a card, which would say what it was trained on; finish that one "
            "first (fer-train finish), then learn the compounds again"
        )
    student, recipe, (compounds, beside) = grown_of(state)
    assert beside is not None
    learned = build(ContinualRecipe, state[LEARNED]["recipe"])
    before = card_from_dict(state[LEARNED]["card"])
    names = class_names(compounds)
    # In the recipe's order, while the head has the order in which they were learned.
    order = np.array([names.index(name) for name in class_names(learned.classes.compounds)])
    parts, _ = load_learning(learned.classes, learned.seed, root)
    shown = np.unique(order[np.concatenate([part.label for part in parts])])
    grown = _Grown(student, beside, np.isin(np.arange(len(names)), shown))

    def judged(part: Labeled) -> Predictions:
        return grown.predict(part.item, order[part.label], recipe.crop)

    tests = {name: judged(load_labeled(name, learned.classes.compounds, root)) for name in learned.classes.test}
    held_out = {part.item.faces.name: judged(part) for part in _unlearned(learned.classes, root)}
    fitted = held_out or dict(tests)
    temperature = fit_temperature(student, list(fitted.values()))
    if held_out:
        tests = {name: replace(part, temperature=grown.temperature(part.embedding)) for name, part in tests.items()}
    else:
        several = list(tests.values())
        tests = {
            name: replace(part, temperature=held_out_temperature(several, place))
            for place, (name, part) in enumerate(tests.items())
        }
    for name, item in _basic_sets(before, learned.classes, root).items():
        tests[name] = grown.predict(item, item.faces.expression, recipe.crop)
    figures: dict[str, Any] = {}
    faces = [part.item for part in parts if len(part.label)]
    inherited = keep_affect(
        student, replace(recipe, model=replace(recipe.model, weights=state[LEARNED]["from"])), faces
    )
    if inherited:
        figures[inherited[0]] = inherited[1]
    else:
        nn.init.zeros_(student.affect.weight)
        nn.init.zeros_(student.affect.bias)
    for name, part in tests.items():
        figures[name] = expression_metrics(part.probabilities(every_class=True), part.expression, names)
    labels = tuple(names[place] for place in shown)
    card = ModelCard(
        name=f"{before.name}-compound",
        version=version("mien"),
        labels=labels,
        crop=recipe.crop,
        embedding=student.expression.in_features,
        backbone=recipe.model.backbone,
        macs=count_macs(student, recipe.crop.size) + beside.weight.numel(),
        parameters=sum(p.numel() for p in (*student.parameters(), *beside.parameters())),
        calibration=Calibration(
            temperature, *(errors(tests, calibrated, every_class=True) for calibrated in (False, True))
        ),
        metrics=figures,
        training=(*before.training, *_training(parts)),
        limits=_limits(labels, learned.classes.train, affect=inherited is not None),
        files={},
        origin=f"{state.get('origin', '')} Its temperature was fitted on {', '.join(fitted)}.".strip(),
    )
    state["ema"], state["card"] = student.state_dict(), json.loads(card.to_json())
    save_checkpoint(path, state)
    return figures


class _Grown:
    """A student and the head of its compounds. ``known`` (C,): which of all classes it tells."""

    def __init__(self, student: Student, beside: nn.Linear, known: NDArray[np.bool_]):
        self.student, self.beside, self.known = student, beside, known

    @torch.inference_mode()
    def predict(self, item: Any, label: NDArray[np.int64], crop: CropSpec) -> Predictions:
        """Predictions over all classes for the faces whose class it tells; ``label`` (N,), -1 for none."""
        known = (label >= 0) & self.known[label]
        plain = predict(self.student, item.subset(known), crop)
        more = self.beside(torch.from_numpy(plain.embedding)).numpy()
        logits = np.concatenate([plain.logits, more], axis=1)
        return replace(plain, logits=np.where(self.known, logits, np.nan).astype(np.float32), expression=label[known])

    @torch.inference_mode()
    def temperature(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) -> (N, 1), as the exported graph computes it."""
        return np.asarray(self.student.temperature(torch.from_numpy(embedding)))


def _unlearned(classes: ClassesRecipe, root: Path | None) -> list[Labeled]:
    """The validation splits beside the sets that were learned from."""
    found = []
    for folder in dict.fromkeys(str(Path(name).parent) for name in classes.train):
        name = f"{folder}/validation"
        if name not in classes.train:
            try:
                found.append(load_labeled(name, classes.compounds, root))
            except InputError:  # it has none
                continue
    return [part for part in found if len(part.label)]


def _basic_sets(before: ModelCard, classes: ClassesRecipe, root: Path | None) -> dict[str, Any]:
    """The test sets of the student before: what the compounds cost there. Those that are not here are left out."""
    found = {}
    for name, values in before.metrics.items():
        if "accuracy" in values and "," not in name and name not in (*classes.test, *classes.train):
            try:
                found[name] = load_with_landmarks(name, root)
            except InputError:
                continue
    return found


def _training(parts: list[Labeled]) -> list[TrainingSet]:
    named = [(part.item.faces.name, len(part.label)) for part in parts]
    return [TrainingSet(f"{name}, compounds", count, terms_of(name)) for name, count in named]


def _limits(labels: tuple[str, ...], sets: tuple[str, ...], *, affect: bool) -> str:
    count = sum(label not in EXPRESSIONS for label in labels)
    missing = ", ".join(label for label in EXPRESSIONS if label not in labels)
    text = LIMITS + POSED.format(count=count, sets=", ".join(sets))
    return text + (MISSING.format(labels=missing) if missing else "") + ("" if affect else NO_AFFECT)
