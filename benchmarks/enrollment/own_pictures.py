"""Enrollment from pictures of the same person: what ``cfee.py`` can measure of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.enrollment.people import Shown, Tally, fitted, labels_with
from mien.enrollment.fitting import Fitter
from mien.enrollment.learn import MAX_LOSS
from mien.enrollment.reference_faces import Exemplars
from mien.types import EXPRESSIONS

CLASSES, BASIC = 3, len(EXPRESSIONS)

Rows = dict[str, NDArray[np.int64]]


def own_single(test: Shown, names: tuple[str, ...], exemplars: Exemplars, draws: int) -> dict[str, Any]:
    """Three compounds from one picture each, of the person or of three others: which of the person's other pictures
    get one of the new labels."""
    fitter = Fitter(exemplars, MAX_LOSS)
    inputs = fitter.inputs(test.examples)
    found = {mode: {kind: Tally(test.person) for kind in ("basic", "compounds")} for mode in ("own", "others")}
    for draw in range(draws):
        claims: dict[str, list[Any]] = {mode: [] for mode in found}
        for person in np.unique(test.person):
            random = np.random.default_rng([draw, person])
            mine = test.person == person
            shows = [name for name in names if (mine & (test.category == name)).any()]
            if len(shows) < CLASSES:
                continue
            chosen = random.choice(shows, CLASSES, replace=False)
            own = {name: np.flatnonzero(mine & (test.category == name)) for name in chosen}
            others = {name: random.choice(np.flatnonzero(~mine & (test.category == name)), 1) for name in chosen}
            left = np.flatnonzero(mine & ~np.isin(test.category, chosen))
            for mode, rows in (("own", own), ("others", others)):
                labels = labels_with(fitted(fitter, {name: inputs[some] for name, some in rows.items()}), inputs, test)
                claims[mode].append((left, labels[left] >= BASIC))
        for mode, parts in claims.items():
            rows, claimed = (np.concatenate(column) for column in zip(*parts, strict=True))
            basic = test.expression[rows] >= 0
            for kind, some in (("basic", basic), ("compounds", ~basic)):
                found[mode][kind].add([(test.person[rows[some]], claimed[some].astype(float))])
    return {mode: {kind: tally.figure() for kind, tally in kinds.items()} for mode, kinds in found.items()}


def own_shots(test: Shown, exemplars: Exemplars, shots: int, draws: int) -> dict[str, Any]:
    """Up to three misread categories from ``shots`` pictures each, of the person or of others. See ``cfee.py``."""
    fitter = Fitter(exemplars, MAX_LOSS)
    inputs, before = fitter.inputs(test.examples), test.label_before()
    meant = np.array([EXPRESSIONS.index(name) for name in test.category])
    kinds = ("again", "other pose", "lost")
    found = {mode: {kind: Tally(test.person) for kind in kinds} for mode in ("own", "others")}
    enrolled = []
    for draw in range(draws):
        scores: dict[str, dict[str, list[Any]]] = {mode: {kind: [] for kind in kinds} for mode in found}
        for person in np.unique(test.person):
            random = np.random.default_rng([draw, person])
            drawn = {name: _draw(test, person, name, shots, random) for name in np.unique(test.category)}
            known = {name: rows for name, rows in drawn.items() if rows is not None and name != "neutral"}
            misread = [name for name, rows in known.items() if (before[rows[0]] == meant[rows[0]]).mean() <= 0.5]
            if not misread:
                continue
            chosen = random.permutation(misread)[:CLASSES].tolist()
            enrolled.append((person, len(chosen)))
            rest = np.flatnonzero((test.person == person) & ~np.isin(test.category, chosen))
            ways = {"own": {name: known[name][0] for name in chosen}}
            ways["others"] = {name: _strangers(test, person, name, shots, random) for name in chosen}
            for mode, rows in ways.items():
                labels = labels_with(fitted(fitter, {name: inputs[some] for name, some in rows.items()}), inputs, test)
                for place, name in enumerate(chosen):
                    for kind, asked in zip(kinds, known[name][1:], strict=False):
                        scores[mode][kind].append((asked, labels[asked] == BASIC + place))
                lost = (before[rest] == meant[rest]).astype(int) - (labels[rest] == meant[rest])
                scores[mode]["lost"].append((rest, lost))
        for mode, parts in scores.items():
            for kind, pairs in parts.items():
                rows, values = (np.concatenate(column) for column in zip(*pairs, strict=True))
                found[mode][kind].add([(test.person[rows], values.astype(float))])
    figures = {mode: {kind: tally.figure() for kind, tally in parts.items()} for mode, parts in found.items()}
    people = {person for person, _ in enrolled}
    return {"shots": shots, "people": len(people), "classes": sum(count for _, count in enrolled), **figures}


def _draw(
    test: Shown, person: int, name: str, shots: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None:
    """Rows of one person and category to enroll, another shot of an enrolled pose, and those of a pose that is left
    out; None where there are too few."""
    rows = np.flatnonzero((test.person == person) & (test.category == name))
    left = random.permutation(np.unique(test.pose[rows]))[:1]
    others = random.permutation(rows[~np.isin(test.pose[rows], left)])
    for again in others:
        rest = others[others != again][:shots]
        if len(rest) == shots and test.pose[again] in test.pose[rest]:
            return rest, np.array([again]), rows[np.isin(test.pose[rows], left)]
    return None


def _strangers(test: Shown, person: int, name: str, shots: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Rows of one category, of other people, as many as possible."""
    rows = np.flatnonzero((test.person != person) & (test.category == name))
    people = random.permutation(np.unique(test.person[rows]))[:shots]
    return np.array([random.choice(rows[test.person[rows] == one]) for one in people])
