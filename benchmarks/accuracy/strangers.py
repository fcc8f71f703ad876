"""What a model is worth on all kinds of faces: wild, posed and rated ones, and synthetic portraits that it never saw.

    python -m benchmarks.accuracy.strangers default runs/distill-s2/student.pt --data FACES

Of each model (a bundle, a checkpoint, or a TOML file of a teacher): accuracy, recall and calibration on every test set,
``affectnet-va`` included, whose classes nothing is trained on; what is left at ``min_confidence``; valence of faces at
rest; and on ``omi`` whether mild smiles are seen as such, and who is read worse. Writes
``benchmarks/results/strangers.json``. 95 % bootstrap intervals. ``--card`` puts who is read worse into the
model card of the bundles among the models.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional import spearman_corrcoef

from benchmarks.common import add_data, add_out, command_parser, heading, write_report
from mien.bundle import find_bundle
from mien.bundle.card import CARD, card_from_dict, read_card
from mien.types import EXPRESSIONS
from mien_export.model_card import FILE, model_card
from mien_train.data.sets import load_with_landmarks
from mien_train.evaluation.metrics import bootstrap, expression_metrics, kept_at
from mien_train.evaluation.predict import Predictions, predict_teacher
from mien_train.models.checkpoints import load_checkpoint
from mien_train.teachers import load_teacher

SETS = ("rafdb/test", "ferplus/test", "affectnet-subset/test", "affectnet-va/train", "cfee/test", "taiwan/test")
FITTED_ON = "affectnet-va/train"
"""Strangers that a recipe may name in ``data.calibration``."""
RATED = "omi/test"
HAPPINESS, FEAR, ANGER, CONTEMPT = (EXPRESSIONS.index(name) for name in ("happiness", "fear", "anger", "contempt"))
REST = {"cfee/test": 0, "taiwan/test": 0}
FAIRNESS = (
    "1,004 synthetic portraits (One Million Impressions, Peterson et al. 2022), grouped by what about 30 people each "
    "saw in them. They rated how happy the portraits look, and that is all the truth there is: a portrait rated above "
    "50 of 100 should be called happy. No other set names the gender, age or ethnicity of its faces. 95 % intervals."
)
ETHNICITIES = ("black", "white", "asian", "hispanic", "middle_eastern")


def main() -> None:
    parser = command_parser("accuracy.strangers", __doc__)
    parser.add_argument("models", nargs="+", help="bundle, checkpoint or TOML file of a teacher")
    add_data(parser)
    add_out(parser, "strangers.json")
    parser.add_argument("--card", action="store_true", help="write who is read worse into the cards of bundles")
    args = parser.parse_args()
    command = f"{parser.prog} {' '.join(args.models)} --data FACES"
    report: dict[str, Any] = {**heading(command, "onnxruntime", "torch"), "models": {}}
    for model in args.models:
        report["models"][model] = figures = measure(model, args.data)
        if args.card and Path(model).suffix not in (".pt", ".toml"):
            write_card(figures["portraits"], find_bundle(model).folder)
        print(f"{model}\n{json.dumps(figures['summary'], indent=2)}")
    write_report(args.out, report)


def write_card(portraits: dict[str, Any], folder: Path) -> None:
    card = read_card(folder)
    told = portraits["gap of happiness by gender"]
    low, high = (100 * bound for bound in told["interval"])
    points, direction = abs(100 * told["mean"]), "more" if told["mean"] > 0 else "less"
    about = (
        f"{FAIRNESS} Men are called happy {points:.1f} points {direction} often than women who smile as much (men less "
        f"women: {low:+.1f} to {high:+.1f})."
    )
    card = dataclasses.replace(card, fairness={"about": about, "by group": portraits["by group"]})
    (folder / CARD).write_text(card.to_json(), encoding="utf-8")
    (folder / FILE).write_text(model_card(card), encoding="utf-8")


def measure(model: str, root: Path) -> dict[str, Any]:
    """All figures of one model; ``summary`` has the ones that are compared."""
    teacher = load_teacher(model)
    made = {name: predict_teacher(teacher, load_with_landmarks(name, root)) for name in SETS}
    known = {name: item.labeled() for name, item in made.items()}
    sets = {name: expression_metrics(item.probabilities(), item.expression) for name, item in known.items()}
    for name, item in known.items():
        sets[name]["at_min_confidence"] = kept_at(item.probabilities(every_class=True), item.expression)
    sets[FITTED_ON] |= by_folds(model)
    sets[FITTED_ON]["intervals"].pop("calibration_error", None)
    rest = {
        name: interval_of(item.predicted_affect[item.expression == REST[name], 0])
        for name, item in made.items()
        if name in REST
    }
    rated = load_with_landmarks(RATED, root)
    columns = {name: np.array(rated.faces.rows[name], np.float64) for name in ("happy", "age", "gender", *ETHNICITIES)}
    portraits = smiles(predict_teacher(teacher, rated), columns)
    summary = {
        **{name: figures["accuracy"] for name, figures in sets.items()},
        "mean recall of anger": mean_recall(sets, "anger"),
        "mean recall of fear": mean_recall(sets, "fear"),
        "calibration error": {name: figures["calibration_error"] for name, figures in sets.items()},
        "valence at rest": {name: value["mean"] for name, value in rest.items()},
        "contempt, rated 45 to 75 happy": portraits["rated 45 to 75"]["contempt"]["mean"],
        "valence with rated happiness": portraits["rank correlation"],
        "happy, rated above 50, masculine less feminine": portraits["gap of happiness by gender"]["mean"],
    }
    return {"summary": summary, "sets": sets, "valence at rest": rest, "portraits": portraits}


def by_folds(model: str) -> dict[str, Any]:
    """What the card of a checkpoint or bundle tells of the confidence on ``FITTED_ON``, where the temperature may have
    been fitted on that set: a model cannot be judged on it, and the card's figures are those of folds."""
    if Path(model).suffix == ".toml":
        return {}
    is_checkpoint = Path(model).suffix == ".pt"
    card = card_from_dict(load_checkpoint(Path(model))["card"]) if is_checkpoint else find_bundle(model).card
    told = card.metrics.get(FITTED_ON)
    if not told:
        return {}
    return {"calibration_error": told["calibration_error"], "at_min_confidence": told.get("at_min_confidence", [])}


def smiles(item: Predictions, rated: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """What is said of portraits that people rated: by how happy they look, and by who is seen."""
    probabilities = item.probabilities(every_class=True)
    label, valence, happy = probabilities.argmax(1), item.predicted_affect[:, 0].astype(np.float64), rated["happy"]
    bands = {f"rated {a} to {b}": (happy >= a) & (happy <= b) for a, b in ((30, 60), (45, 60), (45, 75))}
    figures: dict[str, Any] = {
        name: {"portraits": int(rows.sum()), **shares(label[rows])} for name, rows in bands.items()
    }
    figures["rank correlation"] = round(float(spearman_corrcoef(torch.tensor(valence), torch.tensor(happy))), 4)
    # Wrong about a smile: rated above 50 happy and not called happy.
    groups = {
        "gender": {"feminine": rated["gender"] < 50, "masculine": rated["gender"] >= 50},
        "age": {
            "below 25": rated["age"] < 25,
            "25 to 40": (rated["age"] >= 25) & (rated["age"] < 40),
            "40 and over": rated["age"] >= 40,
        },
        "ethnicity": {
            name: np.argmax([rated[one] for one in ETHNICITIES], axis=0) == i for i, name in enumerate(ETHNICITIES)
        },
    }
    smiling = happy > 50
    figures["by group"] = {
        attribute: {
            name: {
                "portraits": int(rows.sum()),
                "called happy, rated above 50": interval_of((label == HAPPINESS)[rows & smiling]),
                "called contemptuous": interval_of((label == CONTEMPT)[rows]),
                "valence": interval_of(valence[rows]),
                "confidence": interval_of(probabilities.max(1)[rows]),
            }
            for name, rows in parts.items()
        }
        for attribute, parts in groups.items()
    }
    figures["gap of happiness by gender"] = gap(
        (label == HAPPINESS).astype(np.float64),
        groups["gender"]["masculine"] & smiling,
        groups["gender"]["feminine"] & smiling,
    )
    return figures


def shares(label: NDArray[np.int64]) -> dict[str, Any]:
    return {name: interval_of(label == c) for c, name in enumerate(EXPRESSIONS) if (label == c).any() or c == CONTEMPT}


def interval_of(values: NDArray[Any]) -> dict[str, Any]:
    """Mean of (N,) values with its 95 % interval."""
    if not len(values):
        return {"count": 0, "mean": None}
    numbers = torch.from_numpy(np.asarray(values, np.float64))
    low, high = bootstrap(lambda rows: numbers[rows].mean()[None], len(numbers))[:, 0]
    return {"count": len(numbers), "mean": round(float(numbers.mean()), 4), "interval": [round(low, 4), round(high, 4)]}


def gap(values: NDArray[np.float64], first: NDArray[np.bool_], second: NDArray[np.bool_]) -> dict[str, Any]:
    """Mean of ``values`` among ``first`` less that among ``second``, with its interval."""
    numbers, one, two = torch.from_numpy(values), torch.from_numpy(first), torch.from_numpy(second)

    def difference(rows: torch.Tensor) -> torch.Tensor:
        v = numbers[rows]
        return (v[one[rows]].mean() - v[two[rows]].mean())[None]

    low, high = bootstrap(difference, len(values))[:, 0]
    mean = float(numbers[one].mean() - numbers[two].mean())
    return {"mean": round(mean, 4), "interval": [round(float(low), 4), round(float(high), 4)]}


def mean_recall(sets: dict[str, Any], name: str) -> float:
    return round(float(np.mean([figures["recall"][name] for figures in sets.values() if name in figures["recall"]])), 4)


if __name__ == "__main__":
    main()
