"""An expression from a few examples: learned in milliseconds, refused where it cannot be told, with what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.enrollment.classes import Examples, Personal, check_label
from mien.enrollment.fitting import Fitter, Values
from mien.enrollment.reference_faces import Exemplars
from mien.errors import EnrolmentRefused, InputError

MAX_LOSS = 0.01
"""Accuracy on basic expressions that all learned classes together may cost, unless told otherwise."""
MOST_CLASSES, MOST_EXAMPLES = 32, 256
AGREEING = 8
"""Examples from which on it can be told whether they agree."""
AGREE = 0.85
"""How often an example that was not learned must look more like the class than a basic face does. Faces drawn at random
reach 0.8, compound expressions 0.9 and more."""
MIXED = 0.4
"""Share of its examples that another learned class may claim; of two that are the same each claims half."""
SAME = 0.02
"""Examples nearer than this, in standard deviations a direction, are the same picture."""


@dataclass(frozen=True)
class Enrolment:
    """What learning ``label`` gave, and what it costs.

    ``examples``: how many the class has now; ``skipped``: pictures without a face. ``recognised``: the share of its
    examples that now get its label; from AGREEING examples on each is judged by what others teach. ``basic_before``
    and ``basic_after``: accuracy on packaged faces with basic expressions, ``losses`` of each basic class.
    ``agreement``: how often an example looks more like the class than a basic face does, or None for few examples.
    ``weak``: classes learned before of which no example is recognised any more.
    """

    label: str
    examples: int
    skipped: int
    recognised: float
    basic_before: float
    basic_after: float
    losses: Mapping[str, float]
    agreement: float | None
    weak: tuple[str, ...] = ()

    @property
    def loss(self) -> float:
        """Accuracy that the basic classes lose to all learned ones together: 0.01 is a point."""
        return self.basic_before - self.basic_after

    def __str__(self) -> str:
        worst = max(self.losses, key=self.losses.__getitem__)
        told = f"{self.label}: {self.examples} example{'s' * (self.examples != 1)}"
        told += f" ({self.skipped} picture{'s' * (self.skipped != 1)} without a face left out)" if self.skipped else ""
        told += f", {self.recognised:.0%} recognised; basic expressions lose {100 * self.loss:.1f} points"
        told += f" of {100 * self.basic_before:.1f}"
        told += f", most of them {worst} ({100 * self.losses[worst]:.1f})" if self.losses[worst] > 0 else ""
        return told + (f"; no longer recognised: {', '.join(self.weak)}" if self.weak else "")


def learn(
    personal: Personal, label: str, new: Examples, exemplars: Exemplars, max_loss: float = MAX_LOSS, skipped: int = 0
) -> tuple[Personal, Enrolment]:
    """``personal`` with ``new`` examples of a new class, or more of one that it has, and the report.

    ``max_loss`` from 0 to 1. Raises InputError for a label or an example that is taken, and EnrolmentRefused where the
    examples disagree, look like another class, or cannot be recognised within ``max_loss``.
    """
    label = check_label(label, personal.basic, personal.labels)
    before = personal.examples
    examples = {**before, label: before[label].join(new) if label in before else new}
    count = len(examples[label])
    if len(examples) > MOST_CLASSES:
        raise InputError(f"there are {MOST_CLASSES} learned expressions already; remove one first")
    if count > MOST_EXAMPLES:
        raise InputError(f"{label!r} would have {count} examples; {MOST_EXAMPLES} are enough, give fewer")
    fitter = Fitter(exemplars, max_loss)
    sides = {name: fitter.inputs(held) for name, held in examples.items()}
    _check_free(label, sides, count - len(new), fitter.basic)
    fits = fitter.fit_all(sides)
    scores, rivals, agreement = _judge(fitter, sides, fits, label)
    if agreement is not None and agreement < AGREE:
        raise EnrolmentRefused(
            f"the {count} examples of {label!r} do not agree: basic faces look as much like it as they do. Give "
            "examples of one expression, or enrol what differs under a name of its own"
        )
    _check_apart(label, scores, rivals)
    known = _won(fitter, sides[label], scores, rivals)
    if not known.any():
        basic = personal.basic[int(np.exp(sides[label][:, : fitter.basic]).mean(axis=0).argmax())]
        raise EnrolmentRefused(
            f"{label!r} looks too much like {basic}: none of its examples would be recognised while the basic "
            f"expressions lose no more than {100 * max_loss:g} points{' to all that is learned' * bool(rivals)}. Give "
            "more or clearer examples, or allow a larger loss"
        )
    weak = tuple(
        name
        for name in before
        if name != label
        and not _won(
            fitter, sides[name], sides[name] @ fits[name], {k: sides[name] @ v for k, v in fits.items() if k != name}
        ).any()
    )
    made = replace(personal, examples=examples, weights=fitter.unfold(list(fits.values())))
    was = fitter.right
    still = was & (np.max([fitter.lead(fitter.judged, fitted) for fitted in fits.values()], axis=0) <= 0)
    losses = {
        name: float(was[fitter.truth == i].mean() - still[fitter.truth == i].mean())
        for i, name in enumerate(personal.basic)
        if (fitter.truth == i).any()
    }
    report = Enrolment(
        label, count, skipped, float(known.mean()), float(was.mean()), float(still.mean()), losses, agreement, weak
    )
    return made, report


def _check_free(label: str, sides: Mapping[str, Values], old: int, basic: int) -> None:
    """InputError where a new example of ``label``, those behind the first ``old``, is one that was learned before."""
    for name, side in sides.items():
        for i, row in enumerate(sides[label][old:]):
            others = side[:old] if name == label else side
            gaps = np.sqrt(((others[:, basic:] - row[basic:]) ** 2).mean(axis=1))
            if (gaps < SAME).any():
                remedy = "leave it out" if name == label else "a face can have one label; remove one of the two"
                raise InputError(f"example {i + 1} of {label!r} is an example of {name!r} already; {remedy}")


def _judge(
    fitter: Fitter, sides: Mapping[str, Values], fits: Mapping[str, Values], label: str
) -> tuple[Values, dict[str, Values], float | None]:
    """The score of each example of a class, (N,), those that the other classes give it, and how well the examples
    agree: where there are enough, by two fits of everything that each saw one half of them."""
    mine = sides[label]
    made = {name: mine @ fitted for name, fitted in fits.items()}
    if len(mine) < AGREEING:
        return made.pop(label), made, None
    ranks = np.zeros(len(mine))
    for half in (0, 1):
        seen = np.arange(len(mine)) % 2 == half
        again = fitter.fit_all({**sides, label: mine[seen]})
        for name, fitted in again.items():
            made[name][~seen] = mine[~seen] @ fitted
        basic = np.sort(fitter.lead(fitter.judged[fitter.right], again[label]))
        ranks[~seen] = np.searchsorted(basic, fitter.lead(mine[~seen], again[label])) / len(basic)
    return made.pop(label), made, float(ranks.mean())


def _won(fitter: Fitter, rows: Values, scores: Values, rivals: Mapping[str, Values]) -> NDArray[np.bool_]:
    """Which examples would get their label."""
    best = np.max([rows[:, : fitter.basic].max(axis=1), *rivals.values()], axis=0)
    return np.asarray(scores > best)


def _check_apart(label: str, scores: Values, rivals: Mapping[str, Values]) -> None:
    """EnrolmentRefused where another learned class claims too many examples for two that differ."""
    for name, theirs in rivals.items():
        if (theirs > scores).mean() > MIXED:
            raise EnrolmentRefused(
                f"{label!r} looks like {name!r}, learned before: give clearer examples, or add these to {name!r}"
            )
