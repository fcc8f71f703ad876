"""What does each part of the packaged student's training give: new sets, the teacher, a longer schedule, calibration?

    python -m benchmarks.accuracy.parts --data FACES --seeds 3

Every arm has what the arm before it has, and one part more, from the same start: recipe ``ablation-sets``. All have the
same number of steps but the longer one, which has four times as many. The temperature of each is fitted on its own
validation images; that of the last also on faces of a set that is not trained on, which are judged by folds. Needs the
teacher's outputs (``make weights``). Writes ``benchmarks/results/parts.json``; finished arms in ``--runs`` are not
trained again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import add_data, add_out, command_parser, heading, write_report
from mien_train.data.sets import load_sets, load_with_landmarks
from mien_train.evaluation.calibrate import fit_temperature, held_out_temperature
from mien_train.evaluation.evaluate import test_predictions
from mien_train.evaluation.predict import Predictions, predict
from mien_train.finish import errors
from mien_train.models.checkpoints import load_student
from mien_train.models.student import Student
from mien_train.recipe import DistillRecipe, Recipe, load_recipe, recipes_folder
from mien_train.supervised.ablate import kept_figures

OLD = ("ferplus/train", "rafdb/train", "affectnet-subset/train", "diffusionfer/train")
UNLABELED = "unlabelled/train"
ARMS = ("labels", "+ new sets", "+ teacher", "+ long schedule")
CALIBRATED = "+ calibration"
LONGER = 4


def main() -> None:
    parser = command_parser("accuracy.parts", __doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of PyTorch")
    parser.add_argument("--runs", type=Path, default=Path("runs/parts"), metavar="DIR")
    add_data(parser)
    add_out(parser, "parts.json")
    args = parser.parse_args()
    recipe = load_recipe(recipes_folder() / "ablation-sets.toml")
    found: dict[str, list[Any]] = {arm: [] for arm in (*ARMS, CALIBRATED)}
    for seed in range(args.seeds):
        for arm in ARMS:
            folder = args.runs / f"{ARMS.index(arm)}-{seed}"
            figures_by = kept_figures(arm_recipe(recipe, arm, seed), args.data, folder, judged, args.threads)
            for name, figures in figures_by.items():
                found[arm if name == "own validation" else CALIBRATED].append(figures)
    report = heading(f"{parser.prog} --data FACES --seeds {args.seeds}", "torch")
    report |= {"seeds": args.seeds, "recipe": recipe.to_dict(), "times as many steps": LONGER}
    write_report(args.out, report | {"arms": {arm: summary(rows) for arm, rows in found.items()}})


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """``recipe`` with the parts of ``arm`` and of those before it."""
    parts = ARMS.index(arm)
    sets = tuple(
        entry for entry in recipe.data.train if entry.split("*")[0] in OLD or parts >= (2 if entry == UNLABELED else 1)
    )
    return replace(
        recipe,
        seed=seed,
        data=replace(recipe.data, train=sets, calibration=recipe.data.calibration if parts == len(ARMS) - 1 else ()),
        distill=recipe.distill if parts >= 2 else DistillRecipe(),
        optim=replace(recipe.optim, steps=recipe.optim.steps * (LONGER if parts >= 3 else 1)),
    )


def judged(checkpoint: Path, data: Path | None) -> dict[str, Any]:
    """Figures on the test sets, by what the temperature was fitted on."""
    student, recipe, _ = load_student(checkpoint)
    tests = test_predictions(student, recipe, data)
    _, validation = load_sets(recipe, data)
    own = [predict(student, item, recipe.crop).labeled() for item in validation]
    figures = {"own validation": figures_of(tempered(student, own, tests))}
    for name in recipe.data.calibration:
        stranger = predict(student, load_with_landmarks(name, data), recipe.crop).labeled()
        weights = [1.0] * len(own) + [recipe.data.calibration_weight]
        after = tempered(student, [*own, stranger], tests, weights)
        fair = held_out_temperature([*own, stranger], len(own), weights)
        figures["strangers too"] = figures_of(after | {name: replace(tests[name], temperature=fair)})
    return figures


def tempered(
    student: Student, fitted: list[Predictions], tests: dict[str, Predictions], weights: list[float] | None = None
) -> dict[str, Predictions]:
    """``tests`` under the temperature that is fitted on the sets ``fitted``."""
    fit_temperature(student, fitted, weights)
    with torch.inference_mode():
        return {
            name: replace(part, temperature=student.temperature(torch.from_numpy(part.embedding)).numpy())
            for name, part in tests.items()
        }


def figures_of(tests: dict[str, Predictions]) -> dict[str, Any]:
    return {
        "accuracy": {name: part.accuracy() for name, part in tests.items()},
        "calibration error": errors(tests, True),
    }


def summary(rows: list[Any]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds, by set; also of the mean accuracy and of the worst error."""
    table: dict[str, Any] = {}
    for what, whole in (("accuracy", np.mean), ("calibration error", np.max)):
        sets = {name: [row[what][name] for row in rows] for name in rows[0][what]}
        sets["mean" if what == "accuracy" else "worst"] = [float(whole(list(row[what].values()))) for row in rows]
        table[what] = {
            name: [
                round(float(np.mean(values)), 4),
                round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else 0.0,
            ]
            for name, values in sets.items()
        }
    return table


if __name__ == "__main__":
    main()
