"""What a trained student is worth: held-out figures of every set, and the card that carries them."""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis

from mien.card import Calibration, ModelCard, TrainingSet
from mien.faces import EXPRESSIONS
from mien_train.affect import fit_affect
from mien_train.calibrate import fit_temperature
from mien_train.datasets import TERMS
from mien_train.metrics import calibration_error, expression_metrics
from mien_train.models.student import Student
from mien_train.predict import Predictions, predict
from mien_train.recipe import Recipe
from mien_train.trainer import load_checkpoint, load_sets, load_with_landmarks, recipe_of

LIMITS = (
    "Reads what a face shows, not what a person feels. Trained mostly on frontal and near-frontal faces from the web: "
    "expect worse on profiles, covered mouths or eyes, strong backlight, faces under about 48 px, small children and "
    "groups that those pictures show seldom. Contempt, fear and disgust are its weakest classes. Not for decisions "
    "about people such as hiring, policing, insurance, medical diagnosis or emotion inference at work or in schools."
)


def load_student(path: Path) -> tuple[Student, Recipe, dict[str, Any]]:
    """A checkpoint's student (EMA weights, evaluation mode), its recipe, and the rest of its state."""
    state = load_checkpoint(path)
    recipe = recipe_of(state)
    student = Student(recipe.model)
    student.load_state_dict(state["ema"])
    return student.eval().to(memory_format=torch.channels_last), recipe, state


def finish(path: Path, root: Path | None) -> ModelCard:
    """After training: fit the affect head and the temperature, evaluate, and write the card into the checkpoint."""
    student, recipe, state = load_student(path)
    training, validation = load_sets(recipe, root)
    held_out = [predict(student, item, recipe.crop).labelled() for item in validation]
    temperature = fit_temperature(held_out)
    plain, mirrored = affect_predictions(student, recipe, root)
    head, affect_figures = fit_affect(plain, mirrored, recipe.seed)
    student.affect.weight.data = torch.from_numpy(head.weight.T).float()
    student.affect.bias.data = torch.from_numpy(head.bias).float()
    tests = test_predictions(student, recipe, root)
    sets = [TrainingSet(item.faces.name, len(item.faces), terms(item.faces.name)) for item in training]
    card = ModelCard(
        name=f"mien-{recipe.model.backbone.replace('tf_', '').replace('_', '-')}-{recipe.crop.size}",
        version=version("mien"),
        labels=EXPRESSIONS,
        crop=recipe.crop,
        embedding=plain.embedding.shape[1],
        backbone=recipe.model.backbone,
        macs=count_macs(student, recipe.crop.size),
        parameters=sum(p.numel() for p in student.parameters()),
        calibration=Calibration(
            temperature,
            {name: round(calibration_error(p.probabilities(), p.expression), 4) for name, p in tests.items()},
            {
                name: round(calibration_error(p.probabilities(temperature), p.expression), 4)
                for name, p in tests.items()
            },
        ),
        metrics={
            **{name: expression_metrics(p.probabilities(temperature), p.expression) for name, p in tests.items()},
            f"{recipe.data.affect}, 5-fold": affect_figures,
        },
        training=(
            *sets,
            TrainingSet(f"{recipe.data.affect} (affect head only)", len(plain.affect), terms(recipe.data.affect)),
        ),
        limits=LIMITS,
        files={},
    )
    state["ema"] = student.state_dict()
    state["card"] = json.loads(card.to_json())
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
    return card


def test_predictions(student: Student, recipe: Recipe, root: Path | None) -> dict[str, Predictions]:
    """Predictions on the labelled images of every test set, by its name."""
    return {
        name: predict(student, load_with_landmarks(name, root), recipe.crop).labelled() for name in recipe.data.test
    }


def affect_predictions(student: Student, recipe: Recipe, root: Path | None) -> tuple[Predictions, Predictions]:
    """Predictions on the images with human valence and arousal, as they are and mirrored."""
    item = load_with_landmarks(recipe.data.affect, root)
    item = item.subset(~np.isnan(item.faces.affect[:, 0]))
    return predict(student, item, recipe.crop), predict(student, item, recipe.crop, mirrored=True)


def evaluate(path: Path, root: Path | None) -> tuple[dict[str, Any], dict[str, Predictions], float]:
    """Figures of a finished checkpoint, computed anew: metrics by set, predictions by set, temperature."""
    student, recipe, state = load_student(path)
    temperature = float(state["card"]["calibration"]["temperature"]) if "card" in state else 1.0
    tests = test_predictions(student, recipe, root)
    figures: dict[str, Any] = {
        name: expression_metrics(p.probabilities(temperature), p.expression) for name, p in tests.items()
    }
    figures[f"{recipe.data.affect}, 5-fold"] = fit_affect(*affect_predictions(student, recipe, root), recipe.seed)[1]
    figures["macs"] = count_macs(student, recipe.crop.size)
    return figures, tests, temperature


def count_macs(student: Student, size: int) -> int:
    """Multiply-accumulates for one crop, counted by fvcore."""
    crop = torch.zeros((1, size, size, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analysis = FlopCountAnalysis(student.eval(), crop)
        return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def terms(name: str) -> str:
    return TERMS.get(name.split("/")[0], "the user's own")
