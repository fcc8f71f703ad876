"""Learn an expression from a few examples in milliseconds, refuse it if it cannot be distinguished, and report its
cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mien.enrollment.classes import Examples, Personal, check_label
from mien.enrollment.fitting import Fitter, Values
from mien.enrollment.judging import LEAST_RECOGNIZED, each_alone, judge, mistaken_for, wide_enough, won
from mien.enrollment.reference_faces import Exemplars
from mien.errors import EnrolmentRefused, InputError

MAX_LOSS = 0.01
"""Default limit of the accuracy on basic expressions that all learned classes together may cost."""
MAX_CLASSES, MAX_EXAMPLES = 32, 256
MIN_AGREEMENT = 0.85
"""Average share of basic faces that a held-out example must exceed in likeness to the class. Examples drawn at random
reach 0.8, compound expressions 0.9 and more."""
MAX_CLAIMED_SHARE = 0.4
"""Share of its examples that another learned class may claim; of two identical classes each claims half."""
MAX_CLASS_LOSS = 0.05
"""Accuracy that a single basic class may lose before that is said."""
DUPLICATE_DISTANCE = 0.02
"""Examples closer than this, in standard deviations per direction, are the same picture."""


@dataclass(frozen=True)
class Enrolment:
    """The result of learning ``label``, and its cost.

    ``examples``: how many the class has now. ``skipped``: pictures without a face. ``recognized``: the share of its
    examples that get its label by fits that have not seen them (a single example is judged by its own fit).
    ``basic_before`` and ``basic_after``: accuracy on packaged faces with basic expressions. ``losses``: accuracy that
    each basic class loses. ``agreement``: the average share of basic faces that an example exceeds in likeness to the
    class, None for few examples. ``weak``: classes learned before of which no example is recognized any more.
    ``mistaken``: by label, the share of its examples that would get another one. ``enough``: where the class cannot be
    told apart, the least ``max_loss`` with which it could be, if there is one.
    """

    label: str
    examples: int
    skipped: int
    recognized: float
    basic_before: float
    basic_after: float
    losses: Mapping[str, float]
    agreement: float | None
    weak: tuple[str, ...] = ()
    mistaken: Mapping[str, float] = field(default_factory=dict)
    enough: float | None = None

    @property
    def loss(self) -> float:
        """Accuracy that the basic classes lose to all learned ones together: 0.01 is a percentage point."""
        return self.basic_before - self.basic_after

    @property
    def doubts(self) -> tuple[str, ...]:
        """What cannot be told apart, in a sentence each, with what helps. Empty if nothing is known to be wrong."""
        found = []
        if self.examples == 1:
            found.append(f"one picture cannot show how surely {self.label!r} will be recognized; give five or more")
        elif self.recognized < LEAST_RECOGNIZED:
            alike = ", ".join(f"{share:.0%} of its examples look like {name}" for name, share in self.mistaken.items())
            found.append(f"{self.label!r} cannot be told apart: {alike}; {self._help}")
        worst = max(self.losses, key=self.losses.__getitem__)
        if self.losses[worst] > MAX_CLASS_LOSS:
            found.append(
                f"{100 * self.losses[worst]:.0f} of 100 faces of {worst} lose that label; more pictures help, or a "
                "smaller loss (max_loss, --max-loss)"
            )
        found += [
            f"{name!r}, learned before, is recognized in none of its examples any more; remove one of the two, or give "
            "more pictures of both"
            for name in self.weak
        ]
        return tuple(found)

    @property
    def _help(self) -> str:
        if self.enough is None:
            return "more and clearer pictures may help"
        cost = f"{100 * self.enough:g}"
        return f"more pictures may help, or a larger loss (max_loss={self.enough:g}, --max-loss {cost})"

    def __str__(self) -> str:
        worst = max(self.losses, key=self.losses.__getitem__)
        text = f"{self.label}: {self.examples} example{'s' * (self.examples != 1)}"
        text += f" ({self.skipped} picture{'s' * (self.skipped != 1)} without a face left out)" if self.skipped else ""
        text += f", {self.recognized:.0%} recognized; basic expressions lose {100 * self.loss:.1f} points"
        text += f" of {100 * self.basic_before:.1f}"
        text += f", most of them {worst} ({100 * self.losses[worst]:.1f})" if self.losses[worst] > 0 else ""
        return text + (f"; no longer recognized: {', '.join(self.weak)}" if self.weak else "")


def learn(
    personal: Personal, label: str, new: Examples, exemplars: Exemplars, max_loss: float = MAX_LOSS, skipped: int = 0
) -> tuple[Personal, Enrolment]:
    """Add ``new`` examples of a new or known class to ``personal``. Returns the result and a report.

    ``max_loss`` is from 0 to 1. Raises InputError for a label or an example that is already in use, and
    EnrolmentRefused if the examples disagree, look like another class, or cannot be recognized within ``max_loss``.
    """
    label = check_label(label, personal.basic, personal.labels)
    before = personal.examples
    examples = {**before, label: before[label].join(new) if label in before else new}
    count = len(examples[label])
    if len(examples) > MAX_CLASSES:
        raise InputError(f"there are {MAX_CLASSES} learned expressions already; remove one first")
    if count > MAX_EXAMPLES:
        raise InputError(f"{label!r} would have {count} examples; {MAX_EXAMPLES} are enough, give fewer")
    fitter = Fitter(exemplars, max_loss)
    sides = {name: fitter.inputs(held) for name, held in examples.items()}
    _check_free(label, sides, count - len(new), fitter.basic)
    fits = fitter.fit_all(sides)
    scores, rivals, agreement = judge(fitter, sides, fits, label)
    if agreement is not None and agreement < MIN_AGREEMENT:
        raise EnrolmentRefused(
            f"the {count} examples of {label!r} do not agree: basic faces look as much like it as they do. Give "
            "examples of one expression, or enroll different ones under separate names"
        )
    _check_apart(label, scores, rivals)
    known = won(fitter, sides[label], scores, rivals)
    if not known.any():
        basic = personal.basic[int(np.exp(sides[label][:, : fitter.basic]).mean(axis=0).argmax())]
        enough = wide_enough(exemplars, sides, label, max_loss)
        wider = "allow a larger loss" + ("" if enough is None else f" (--max-loss {100 * enough:g} is enough)")
        raise EnrolmentRefused(
            f"{label!r} looks too much like {basic}: none of its examples would be recognized while the basic "
            f"expressions lose no more than {100 * max_loss:g} points{' to all that is learned' * bool(rivals)}. Give "
            f"more or clearer examples, or {wider}"
        )
    scores = each_alone(fitter, sides, label, scores)
    known = won(fitter, sides[label], scores, rivals)
    weak = tuple(
        name
        for name in before
        if name != label
        and not won(
            fitter, sides[name], sides[name] @ fits[name], {k: sides[name] @ v for k, v in fits.items() if k != name}
        ).any()
    )
    learned = replace(personal, examples=examples, weights=fitter.unfold(list(fits.values())))
    before_right = fitter.right
    leads = np.max([fitter.lead(fitter.judged, fitted) for fitted in fits.values()], axis=0)
    still_right = before_right & (leads <= 0)
    losses = {
        name: float(before_right[fitter.truth == i].mean() - still_right[fitter.truth == i].mean())
        for i, name in enumerate(personal.basic)
        if (fitter.truth == i).any()
    }
    report = Enrolment(
        label,
        count,
        skipped,
        recognized=float(known.mean()),
        basic_before=float(before_right.mean()),
        basic_after=float(still_right.mean()),
        losses=losses,
        agreement=agreement,
        weak=weak,
        mistaken=mistaken_for(personal.basic, sides[label], scores, rivals),
        enough=wide_enough(exemplars, sides, label, max_loss) if known.mean() < LEAST_RECOGNIZED else None,
    )
    return learned, report


def _check_free(label: str, sides: Mapping[str, Values], old: int, basic: int) -> None:
    """InputError if a new example of ``label`` (those after the first ``old``) was learned before."""
    for name, side in sides.items():
        for i, row in enumerate(sides[label][old:]):
            others = side[:old] if name == label else side
            gaps = np.sqrt(((others[:, basic:] - row[basic:]) ** 2).mean(axis=1))
            if (gaps < DUPLICATE_DISTANCE).any():
                remedy = "leave it out" if name == label else "a face can have only one label; remove one of the two"
                raise InputError(f"example {i + 1} of {label!r} is an example of {name!r} already; {remedy}")


def _check_apart(label: str, scores: Values, rivals: Mapping[str, Values]) -> None:
    """EnrolmentRefused if another learned class claims so many examples that the two cannot be told apart."""
    for name, theirs in rivals.items():
        if (theirs > scores).mean() > MAX_CLAIMED_SHARE:
            raise EnrolmentRefused(
                f"{label!r} looks like {name!r}, learned before: give clearer examples, or add these to {name!r}"
            )
