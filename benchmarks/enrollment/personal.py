"""Compound expressions enrolled on the device from a few examples: what is recognized, and what basic ones lose.

    python -m benchmarks.enrollment.personal --data FACES

Examples are drawn from the training and validation images of FER+ (near-duplicates of test images aside), and tested on
its test images: 1, 3, 5 and 20 shots of 1 to 6 of six compounds, over 20 draws of compounds and examples. All figures
are balanced accuracies over the new classes: ``all`` with every basic and new class competing, ``new`` among the new
ones alone. ``loss`` is plain accuracy that basic test images lose. One part runs with the limit of one point that is
the default, the other over limits, for the trade between the two. Refused enrollments (counted for three
classes) are learned all the same. Writes ``benchmarks/results/personal.json`` and ``personal.png``.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from benchmarks.common import add_data, add_model, add_out, command_parser, heading, write_report
from benchmarks.enrollment.blends import COMPOUNDS, Embedded, embed
from benchmarks.enrollment.personal_plot import plot
from mien.bundle import find_bundle
from mien.enrollment.classes import Examples, Personal
from mien.enrollment.fitting import Fitter
from mien.enrollment.learn import MAX_LOSS, learn
from mien.enrollment.reference_faces import Exemplars, read_exemplars
from mien.errors import EnrolmentRefused
from mien_train.data.duplicates import repeats
from mien_train.recipe import DataRecipe

TESTS = ("ferplus/test", "rafdb/test", "affectnet-subset/test")
SHOTS, CLASSES, DRAWS = (1, 3, 5, 20), (1, 2, 3, 4, 5, 6), 20
LIMITS = (0.0025, 0.005, 0.01, 0.02, 0.04, 0.07, 0.12)
NAMES = ["+".join(pair) for pair in COMPOUNDS]


@dataclass(frozen=True, eq=False)
class Test(Embedded):
    """With the ``inputs`` (N, 8 + W + 1) of the fits."""

    inputs: np.ndarray


def main() -> None:
    parser = command_parser("enrollment.personal", __doc__)
    add_data(parser)
    add_model(parser)
    add_out(parser, "personal.json")
    parser.add_argument("--draws", type=int, default=DRAWS)
    args = parser.parse_args()
    bundle = find_bundle(args.model)
    exemplars, labels = read_exemplars(bundle), bundle.card.labels
    sets = embed(["ferplus/train", "ferplus/validation", *TESTS], bundle, args.data)
    fitter = Fitter(exemplars, MAX_LOSS)
    tests = {
        name: Test(**vars(sets[name]), inputs=fitter.inputs(Examples(sets[name].embedding, sets[name].probabilities)))
        for name in TESTS
    }
    pool = _pool([sets["ferplus/train"], sets["ferplus/validation"]], tests["ferplus/test"])
    report: dict[str, Any] = {
        **heading(f"{parser.prog} --data FACES" + f" --draws {args.draws}" * (args.draws != DRAWS)),
        "model": bundle.card.name,
        "exemplars": f"{len(exemplars.label)} of {exemplars.origin}",
        "draws": args.draws,
        "pool": {name: int((pool.compound == i).sum()) for i, name in enumerate(NAMES)},
        "test": {name: int((tests["ferplus/test"].compound == i).sum()) for i, name in enumerate(NAMES)},
        "basic": {name: _accuracies(some.basic, some.basic.probabilities) for name, some in tests.items()},
        "grid": [],
        "limits": [],
    }
    print(json.dumps({key: report[key] for key in ("pool", "test", "basic")}, indent=1))
    for classes in CLASSES:
        for shots in SHOTS:
            row = _cell(pool, tests, exemplars, labels, shots, classes, MAX_LOSS, args.draws)
            report["grid"].append(row)
            print(_line(row), flush=True)
    for shots in SHOTS:
        for limit in LIMITS:
            row = _cell(pool, tests, exemplars, labels, shots, 3, limit, args.draws)
            report["limits"].append(row)
            print(_line(row), flush=True)
    write_report(args.out, report)
    plot(report, args.out.with_suffix(".png"))


def _pool(parts: list[Embedded], test: Embedded) -> Embedded:
    """Compounds to draw examples from."""
    joined = Embedded(
        *(np.concatenate(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True))
    )
    some = joined.take(joined.compound >= 0)
    return some.take(~repeats(some.hashes, test.hashes, DataRecipe().near_duplicates))


def _cell(
    pool: Embedded,
    tests: dict[str, Test],
    exemplars: Exemplars,
    labels: tuple[str, ...],
    shots: int,
    classes: int,
    limit: float,
    draws: int,
) -> dict[str, Any]:
    """Mean and standard deviation over draws."""
    runs, refused, ours = [], 0, []
    counted = limit == MAX_LOSS and classes == 3
    for draw in range(draws):
        random = np.random.default_rng([draw, classes, shots])
        chosen = random.choice(len(COMPOUNDS), classes, replace=False)
        examples = {}
        for index in chosen:
            rows = random.choice(np.flatnonzero(pool.compound == index), shots, replace=False)
            examples[NAMES[index]] = Examples(pool.embedding[rows], pool.probabilities[rows])
        start = time.perf_counter()
        fitter = Fitter(exemplars, limit)
        fits = fitter.fit_all({name: fitter.inputs(held) for name, held in examples.items()})
        ours.append(time.perf_counter() - start)
        runs.append(_judge(np.stack(list(fits.values()), axis=1), chosen, tests))
        refused += _refused(examples, labels, exemplars, limit) if counted else 0
    row: dict[str, Any] = {"classes": classes, "shots": shots, "max_loss": limit}
    for key in runs[0]:
        values = np.array([run[key] for run in runs])
        row[key] = {"mean": round(float(values.mean()), 4), "sd": round(float(values.std(ddof=1)), 4)}
    if counted:
        row["refused"] = f"{refused} of {draws * classes}"
    row["fit_ms"] = round(1000 * float(np.median(ours)), 1)
    return row


def _refused(examples: dict[str, Examples], labels: tuple[str, ...], exemplars: Exemplars, limit: float) -> int:
    personal, refused = Personal("", labels), 0
    for name, held in examples.items():
        try:
            personal, _ = learn(personal, name, held, exemplars, limit)
        except EnrolmentRefused:
            refused += 1
    return refused


def _read(fits: np.ndarray, some: Test) -> np.ndarray:
    """What ``Personal.read`` gives, from inputs that were projected once."""
    odds = np.exp(np.clip(some.inputs @ fits, -30, 30))
    return np.concatenate([some.probabilities, odds], axis=1) / (1 + odds.sum(axis=1, keepdims=True))


def _judge(fits: np.ndarray, chosen: np.ndarray, tests: dict[str, Test]) -> dict[str, float]:
    fer = tests["ferplus/test"]
    eight = fer.probabilities.shape[1]
    recalled, among = [], []
    for place, index in enumerate(chosen):
        some = fer.take(fer.compound == index)
        made = _read(fits, some)
        recalled.append((made.argmax(1) == eight + place).mean())
        among.append((made[:, eight:].argmax(1) == place).mean())
    found = {"all": float(np.mean(recalled)), "new": float(np.mean(among))}
    for name, every in tests.items():
        basic, short = every.basic, name.split("/")[0]
        after = _accuracies(basic, _read(fits, basic))
        before = _accuracies(basic, basic.probabilities)
        found |= {f"loss_{key}_{short}": before[key] - after[key] for key in ("plain", "balanced")}
    # Basic and chosen compounds as often as they stand in the test set.
    truth = fer.expression.copy()
    truth[fer.blend] = -1
    for place, index in enumerate(chosen):
        truth[fer.compound == index] = eight + place
    seen = fer.take(truth >= 0)
    made, truth = _read(fits, seen), truth[truth >= 0]
    found["ece"] = _calibration(made, truth)
    padded = np.concatenate([seen.probabilities, np.zeros((len(truth), len(chosen)))], axis=1)
    found["ece_before"] = _calibration(padded, truth)
    found["accuracy"] = float((made.argmax(1) == truth).mean())
    found["accuracy_before"] = float((padded.argmax(1) == truth).mean())
    return found


def _calibration(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Expected calibration error, 15 bins of the top probability."""
    given = torch.from_numpy(probabilities), torch.from_numpy(truth)
    return float(multiclass_calibration_error(*given, num_classes=probabilities.shape[1], n_bins=15))


def _accuracies(some: Embedded, probabilities: np.ndarray) -> dict[str, float]:
    """A set of seven classes is scored with all classes allowed, as the runtime labels."""
    hit = probabilities.argmax(1) == some.expression
    balanced = np.mean([hit[some.expression == i].mean() for i in np.unique(some.expression)])
    return {"images": len(hit), "plain": round(float(hit.mean()), 4), "balanced": round(float(balanced), 4)}


def _line(row: dict[str, Any]) -> str:
    short = {key: key.replace("ferplus", "fer").replace("affectnet-subset", "aff") for key in row}
    figures = {short[key]: value for key, value in row.items() if isinstance(value, dict)}
    told = " ".join(f"{key} {value['mean']:.3f}±{value['sd']:.3f}" for key, value in figures.items())
    head = f"{row['classes']} classes {row['shots']:>2} shots limit {row['max_loss']:.2%}"
    return f"{head}: {told} refused {row.get('refused', '?')} {row['fit_ms']} ms"


if __name__ == "__main__":
    main()
