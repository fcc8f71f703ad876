"""Compounds enrolled from posed pictures: of other people, of the same person, and what each costs the basic faces.

    python -m benchmarks.enrollment.cfee --data FACES

*Of other people*: three of CFEE's 15 compounds, from 1, 3, 5 and (where there are so many) 10 pictures of as many of
its validation people, whom the network has not seen, tested on its 50 test people with the eight basic and three new
classes competing. ``all`` is the share of the compounds' faces that get their label, ``new`` the same among the three,
``balanced`` the mean over the seven basic and three new classes. ``lost`` is plain accuracy that basic faces lose, by
set. ``warned`` is about what enrollment doubts or refuses before it is saved: the share of the classes, and ``all`` of
these and of the others.

*Of the same person*: CFEE has one picture of each person and category, so a class that was enrolled from somebody's
picture cannot be tested on the same person there. What can be: how many of the person's other pictures are claimed
(``claimed``), beside an enrollment from one picture of somebody else. Taiwan has up to nine shots of each basic
category by one person, in up to three poses. Those categories that the model misreads in half or more of the pictures
to be enrolled are learned under a name of their own, from 1, 3 and 5 shots; the test is on another shot of a pose that
was enrolled (``again``) and on a pose that was not (``other pose``), beside shots of other people in their place.

Figures are means with 95 % intervals over people and draws. Writes ``benchmarks/results/enrollment_cfee.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import add_data, add_model, add_out, command_parser, heading, write_report
from benchmarks.enrollment.own_pictures import own_shots, own_single
from benchmarks.enrollment.people import Shown, Tally, fitted, labels_with, shown
from mien.bundle import Bundle, find_bundle
from mien.enrollment.classes import Personal
from mien.enrollment.fitting import Fitter
from mien.enrollment.learn import MAX_LOSS, learn
from mien.enrollment.reference_faces import Exemplars, read_exemplars
from mien.errors import EnrolmentRefused
from mien.types import EXPRESSIONS
from mien_train.data.compounds import COMPOUNDS, STRESSED

NAMES = (*COMPOUNDS, *STRESSED)
POOL, TEST = "cfee/validation", "cfee/test"
LOSES = (TEST, "taiwan/test", "rafdb/test", "ferplus/test", "affectnet-subset/test")
SHOTS, LIMITS, CLASSES, DRAWS = (1, 3, 5, 10), (MAX_LOSS, 0.03), 3, 40
BASIC = len(EXPRESSIONS)
DOUBTED = 12
"""Draws of which doubts are counted: each takes as long as thirty others."""


def main() -> None:
    parser = command_parser("enrollment.cfee", __doc__)
    add_data(parser)
    add_model(parser)
    add_out(parser, "enrollment_cfee.json")
    parser.add_argument("--draws", type=int, default=DRAWS)
    args = parser.parse_args()
    bundle = find_bundle(args.model)
    exemplars = read_exemplars(bundle)
    report: dict[str, Any] = {
        **heading(f"{parser.prog} --data FACES" + f" --draws {args.draws}" * (args.draws != DRAWS)),
        "model": bundle.card.name,
        "exemplars": f"{len(exemplars.label)} of {exemplars.origin}",
        "draws": args.draws,
    }
    report |= measured(bundle, exemplars, args.data, args.draws)
    print(json.dumps(report, indent=1))
    write_report(args.out, report)


def measured(bundle: Bundle, exemplars: Exemplars, root: Path, draws: int) -> dict[str, Any]:
    sets = {name: shown(name, bundle, root) for name in (POOL, *LOSES)}
    compounds = np.isin(sets[TEST].category, NAMES)
    before = {name: _right(some, some.label_before()) for name, some in sets.items() if name in LOSES}
    return {
        "tested_on": {"people": len(np.unique(sets[TEST].person)), "compounds": int(compounds.sum())},
        "basic_before": {
            name: [int((some.expression >= 0).sum()), round(float(before[name].mean()), 4)]
            for name, some in sets.items()
            if name in LOSES
        },
        "others": [
            _others(sets, exemplars, bundle.card.labels, shots, limit, draws) for limit in LIMITS for shots in SHOTS
        ],
        "own": {"cfee": own_single(sets[TEST], NAMES, exemplars, max(draws // 10, 1))}
        | {"taiwan": [own_shots(sets["taiwan/test"], exemplars, shots, max(draws // 4, 1)) for shots in (1, 3, 5)]},
    }


def _others(
    sets: dict[str, Shown], exemplars: Exemplars, labels: tuple[str, ...], shots: int, limit: float, draws: int
) -> dict[str, Any]:
    """A row: three compounds from ``shots`` pictures each of people of the pool."""
    pool, test, fitter = sets[POOL], sets[TEST], Fitter(exemplars, limit)
    inputs = {name: fitter.inputs(sets[name].examples) for name in (POOL, *LOSES)}
    tallies = {key: Tally(test.person) for key in ("all", "new", "balanced", "doubted", "trusted")}
    lost = {name: Tally(sets[name].person) for name in LOSES}
    doubted = 0
    for draw in range(draws):
        random = np.random.default_rng([draw, shots])
        chosen = random.choice(len(NAMES), CLASSES, replace=False)
        shows = {NAMES[i]: np.flatnonzero(pool.category == NAMES[i]) for i in chosen}
        rows = {name: random.permutation(some)[:shots] for name, some in shows.items()}
        fits = fitted(fitter, {name: inputs[POOL][some] for name, some in rows.items()})
        after = {name: labels_with(fits, inputs[name], sets[name]) for name in LOSES}
        among = (inputs[TEST] @ fits).argmax(axis=1)
        right, apart = [], []
        for place, name in enumerate(rows):
            mine = test.category == name
            right.append((test.person[mine], (after[TEST][mine] == BASIC + place).astype(float)))
            apart.append((test.person[mine], (among[mine] == place).astype(float)))
        basic = [
            (test.person[test.expression == i], (after[TEST][test.expression == i] == i).astype(float))
            for i in np.unique(test.expression[test.expression >= 0])
        ]
        tallies["all"].add(right)
        tallies["new"].add(apart)
        tallies["balanced"].add([*right, *basic])
        for name, some in sets.items():
            if name in LOSES:
                gone = _right(some, some.label_before()) - _right(some, after[name])
                lost[name].add([(some.person[some.expression >= 0], gone)])
        if limit == MAX_LOSS and draw < DOUBTED:
            doubts = _doubts({name: pool.of(some) for name, some in rows.items()}, labels, exemplars, limit)
            doubted += sum(doubts)
            tallies["doubted"].add([one if doubt else _NOBODY for one, doubt in zip(right, doubts, strict=True)])
            tallies["trusted"].add([_NOBODY if doubt else one for one, doubt in zip(right, doubts, strict=True)])
    row: dict[str, Any] = {"shots": shots, "max_loss": limit}
    row |= {key: tallies[key].figure() for key in ("all", "new", "balanced")}
    row["lost"] = {name: tally.figure() for name, tally in lost.items()}
    if limit == MAX_LOSS:
        row["warned"] = {"share": round(doubted / (CLASSES * min(draws, DOUBTED)), 3)}
        row["warned"] |= {key: tallies[key].figure() for key in ("doubted", "trusted")}
    print(json.dumps(row), flush=True)
    return row


_NOBODY = (np.zeros(0, np.int64), np.zeros(0))


def _doubts(examples: dict[str, Any], labels: tuple[str, ...], exemplars: Exemplars, limit: float) -> list[bool]:
    """For each class, enrolled one after another, whether it is refused or doubted."""
    personal, found = Personal("", labels), []
    for name, held in examples.items():
        try:
            personal, report = learn(personal, name, held, exemplars, limit)
            found.append(bool(report.doubts))
        except EnrolmentRefused:
            found.append(True)
    return found


def _right(some: Shown, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Which basic faces get their label, 0 or 1 each."""
    basic = some.expression >= 0
    return (labels[basic] == some.expression[basic]).astype(float)


if __name__ == "__main__":
    main()
