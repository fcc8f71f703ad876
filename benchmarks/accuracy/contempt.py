"""Students compared where each calls equally many faces contemptuous.

    python -m benchmarks.accuracy.contempt default runs/wild-s/student.pt --data FACES

A student that calls more smiles contemptuous is right more often on AffectNet, whose labels do so too, and wrong
elsewhere. So each model's odds of contempt get the factor at which it finds contempt in a given share of faces without
labels, and then its accuracy on the validation sets of a recipe is compared. Writes
``benchmarks/results/contempt.json``. No test set is looked at: this is for choosing. 95 % bootstrap intervals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.strangers import CONTEMPT, interval_of
from benchmarks.common import add_data, add_out, command_parser, heading, write_report
from mien_train.data.sets import load_sets, load_with_landmarks
from mien_train.evaluation.predict import Predictions, predict_teacher
from mien_train.recipe import load_recipe, recipes_folder
from mien_train.teachers import load_teacher

RECIPE = "broad-distill-s"
"""Whose validation sets are used."""
UNLABELED = "unlabelled/train"
SHARE = 0.018
"""Of the faces without labels that are called contemptuous."""


def main() -> None:
    parser = command_parser("accuracy.contempt", __doc__)
    parser.add_argument("models", nargs="+", help="bundle, checkpoint or TOML file of a teacher")
    parser.add_argument(
        "--share", type=float, default=SHARE, help="of faces that are called contemptuous (%(default)s)"
    )
    add_data(parser)
    add_out(parser, "contempt.json")
    args = parser.parse_args()
    validation = load_sets(load_recipe(recipes_folder() / f"{RECIPE}.toml"), args.data)[1]
    unlabeled = load_with_landmarks(UNLABELED, args.data)
    command = f"{parser.prog} {' '.join(args.models)} --share {args.share} --data FACES"
    report: dict[str, Any] = {**heading(command, "onnxruntime", "torch"), "share": args.share, "models": {}}
    for model in args.models:
        teacher = load_teacher(model)
        factor = factor_for(predict_teacher(teacher, unlabeled).logits, args.share)
        sets = {item.faces.name: accuracies(predict_teacher(teacher, item).labeled(), factor) for item in validation}
        report["models"][model] = {"factor": round(factor, 3), "sets": sets}
        told = {name: figures["accuracy"]["mean"] for name, figures in sets.items()}
        print(model, f"factor {factor:.2f}", told, flush=True)
    write_report(args.out, report)


def factor_for(logits: NDArray[np.float32], share: float) -> float:
    """Factor on the odds of contempt with which it is the likeliest class in ``share`` of (N, 8) logits."""
    others = np.nanmax(np.delete(logits, CONTEMPT, axis=1), axis=1)
    return float(np.exp(np.quantile(others.astype(np.float64) - logits[:, CONTEMPT], share)))


def accuracies(known: Predictions, factor: float) -> dict[str, Any]:
    """Over the classes of the set, with the factor; and where contempt is one, of the other faces over the others."""
    scored = np.isin(np.arange(known.logits.shape[1]), known.classes) & ~np.isnan(known.logits)
    logits = np.where(scored, known.logits, -np.inf)
    logits[:, CONTEMPT] += np.log(factor)
    figures = {"accuracy": interval_of(logits.argmax(1) == known.expression)}
    if CONTEMPT in known.classes:
        logits[:, CONTEMPT] = -np.inf
        rows = known.expression != CONTEMPT
        figures["without contempt"] = interval_of((logits.argmax(1) == known.expression)[rows])
    return figures


if __name__ == "__main__":
    main()
