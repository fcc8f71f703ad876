"""Does it help to know which action units a compound needs? CFEE, from no picture of a new class to five.

    python -m benchmarks.enrollment.action_units --data FACES

FACS says what muscles do in each expression; the units that most people use are those of Du & Martinez 2015 (Dialogues
in Clinical Neuroscience 17:443). Three compounds are hidden, and a linear discriminant of the packaged embeddings knows
the mean of each class of CFEE's training people but theirs. A hidden class is put where knowledge says, and is moved
from there by its pictures, from validation people: ``none`` knows nothing (and so has no figure without pictures),
``parents`` puts it between its two basic expressions, moved as the other compounds are on average, ``units`` where a
ridge regression of the known means on their units says, ``both`` halfway between these. The network has seen such faces
of the training people, as halves of two basic expressions, and no units. ``new`` is the share right among the three
hidden compounds and ``all`` among these and seven basic classes, on test people, with 95 % intervals over people and
draws. Writes ``benchmarks/results/action_units.json``.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import add_data, add_model, add_out, command_parser, heading, write_report
from benchmarks.enrollment.people import Shown, Tally, shown
from mien.bundle import find_bundle
from mien.types import EXPRESSIONS
from mien_train.data.compounds import COMPOUNDS, STRESSED, blend_of

UNITS = {
    "neutral": (), "happiness": (12, 25), "sadness": (4, 15), "surprise": (1, 2, 25, 26), "fear": (1, 4, 20, 25),
    "disgust": (9, 10, 17), "anger": (4, 7, 24), "happily surprised": (1, 2, 12, 25),
    "happily disgusted": (10, 12, 25), "sadly fearful": (1, 4, 15, 25), "sadly angry": (4, 7, 15),
    "sadly surprised": (1, 4, 25, 26), "sadly disgusted": (4, 10), "fearfully angry": (4, 20, 25),
    "fearfully surprised": (1, 2, 5, 20, 25), "fearfully disgusted": (1, 4, 10, 20, 25),
    "angrily surprised": (4, 25, 26), "angrily disgusted": (4, 10, 17), "disgustedly surprised": (1, 2, 5, 10),
    "appalled": (4, 9, 10), "hatred": (4, 7, 10), "awed": (1, 2, 5, 25),
}  # fmt: skip
NAMES = tuple(UNITS)
BASIC, NEW = NAMES[:7], (*COMPOUNDS, *STRESSED)
EVERY = sorted({unit for units in UNITS.values() for unit in units})
TABLE = np.array([[unit in UNITS[name] for unit in EVERY] for name in NAMES], float)
SHOTS, HIDDEN, DRAWS = (0, 1, 3, 5), 3, 100
WAYS = ("none", "parents", "units", "both")
TRUST, RIDGE, SHRINKAGE = 3.0, 1.0, 0.3
"""Pictures that a place known beforehand weighs as much as; the penalty of the regression; the covariance's share of
its mean variance."""

Values = NDArray[np.float64]


def main() -> None:
    parser = command_parser("enrollment.action_units", __doc__)
    add_data(parser)
    add_model(parser)
    add_out(parser, "action_units.json")
    parser.add_argument("--draws", type=int, default=DRAWS)
    args = parser.parse_args()
    bundle = find_bundle(args.model)
    train, pool, test = (shown(f"cfee/{part}", bundle, args.data) for part in ("train", "validation", "test"))
    sides = list(zip(_whiten(train, pool, test), map(label_of, (train, pool, test)), strict=True))
    rows = [_row(sides, test.person, shots, args.draws) for shots in SHOTS]
    report: dict[str, Any] = {
        **heading(f"{parser.prog} --data FACES" + f" --draws {args.draws}" * (args.draws != DRAWS)),
        "model": bundle.card.name,
        "draws": args.draws,
        "rows": rows,
    }
    print(json.dumps(rows, indent=1))
    write_report(args.out, report)


def label_of(some: Shown) -> NDArray[np.int64]:
    """(N,) indices into NAMES."""
    named = [EXPRESSIONS[i] if i >= 0 else name for i, name in zip(some.expression, some.category, strict=True)]
    return np.array([NAMES.index(name) for name in named])


def _whiten(train: Shown, *others: Shown) -> list[Values]:
    """Embeddings in which the classes of the training people spread alike in all directions."""
    label, x = label_of(train), train.examples.embedding.astype(np.float64)
    within = x - np.stack([x[label == c].mean(0) for c in range(len(NAMES))])[label]
    sizes, axes = np.linalg.eigh(np.cov(within.T))
    scale = axes / np.sqrt((1 - SHRINKAGE) * np.maximum(sizes, 0) + SHRINKAGE * sizes.mean())
    return [(some.examples.embedding - x.mean(0)) @ scale for some in (train, *others)]


def _row(sides: list[tuple[Values, NDArray[np.int64]]], people: NDArray[np.int64], shots: int, draws: int) -> Any:
    (x, known), (pictures, shows), (asked, truth) = sides
    means = np.stack([x[known == c].mean(0) for c in range(len(NAMES))])
    found = {way: {kind: Tally(people) for kind in ("new", "all")} for way in WAYS}
    gaps = {way: Tally(people) for way in WAYS[2:]}
    for draw in range(draws):
        random = np.random.default_rng([draw, shots])
        hidden = [NAMES.index(name) for name in random.choice(NEW, HIDDEN, replace=False)]
        seen = [random.permutation(np.flatnonzero(shows == c))[:shots] for c in hidden]
        right: dict[str, list[Any]] = {}
        for way, places in _places(means, hidden).items():
            new = np.stack([_moved(place, pictures[rows]) for place, rows in zip(places, seen, strict=True)])
            for kind, classes in (("new", hidden), ("all", [*range(len(BASIC)), *hidden])):
                at = np.concatenate([means[[c for c in classes if c < len(BASIC)]], new])
                made = np.array(classes)[((asked[:, None] - at) ** 2).sum(-1).argmin(1)]
                parts = [(people[truth == c], (made == c)[truth == c].astype(float)) for c in hidden]
                found[way][kind].add(parts)
                right[way] = parts  # of "all", which comes last
        for way, tally in gaps.items():
            pairs = zip(right[way], right["parents"], strict=True)
            tally.add([(who, mine - theirs) for (who, mine), (_, theirs) in pairs])
    ways = {way: {kind: tally.figure() for kind, tally in kinds.items()} for way, kinds in found.items()}
    if not shots:
        del ways["none"]
    return {"shots": shots, **ways, "over parents": {way: tally.figure() for way, tally in gaps.items()}}


def _places(means: Values, hidden: list[int]) -> dict[str, Values]:
    """Where the hidden classes are thought to be, by what is known of them."""
    rest = [c for c in range(len(NAMES)) if c not in hidden]
    between = np.stack([_between(means, name) for name in NAMES[len(BASIC) :]])
    moved = np.mean([means[c] - between[c - len(BASIC)] for c in rest if c >= len(BASIC)], axis=0)
    parents = between[[c - len(BASIC) for c in hidden]] + moved
    table, middle = TABLE - TABLE[rest].mean(0), means[rest].mean(0)
    inner = table[rest].T @ table[rest] + RIDGE * np.eye(len(EVERY))
    units = table[hidden] @ np.linalg.solve(inner, table[rest].T @ (means[rest] - middle)) + middle
    return {"none": np.full_like(parents, np.nan), "parents": parents, "units": units, "both": (parents + units) / 2}


def _between(means: Values, name: str) -> Values:
    mixed = [share * means[NAMES.index(EXPRESSIONS[part])] for part, share in blend_of(name).items()]
    return np.asarray(np.sum(mixed, axis=0))


def _moved(place: Values, pictures: Values) -> Values:
    if np.isnan(place).any():
        return pictures.mean(0) if len(pictures) else np.zeros_like(place)
    return np.asarray((TRUST * place + pictures.sum(0)) / (TRUST + len(pictures)))


if __name__ == "__main__":
    main()
