"""Learn an expression from a few examples in milliseconds, refuse it if it cannot be distinguished, and report its
cost."""

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
"""Default limit of the accuracy on basic expressions that all learned classes together may cost."""
MAX_CLASSES, MAX_EXAMPLES = 32, 256
MIN_EXAMPLES_TO_JUDGE = 8
"""With fewer examples, their agreement cannot be judged."""
MIN_AGREEMENT = 0.85
"""Average share of basic faces that a held-out example must exceed in likeness to the class. Examples drawn at random
reach 0.8, compound expressions 0.9 and more."""
MAX_CLAIMED_SHARE = 0.4
"""Share of its examples that another learned class may claim; of two identical classes each claims half."""
DUPLICATE_DISTANCE = 0.02
"""Examples closer than this, in standard deviations per direction, are the same picture."""


@dataclass(frozen=True)
class Enrolment:
    """The result of learning ``label``, and its cost.

    ``examples``: how many the class has now. ``skipped``: pictures without a face. ``recognised``: the share of its
    examples that now get its label; with MIN_EXAMPLES_TO_JUDGE examples or more, each is judged by a fit to others.
    ``basic_before`` and ``basic_after``: accuracy on packaged faces with basic expressions. ``losses``: accuracy that
    each basic class loses. ``agreement``: the average share of basic faces that an example exceeds in likeness to the
    class, None for few examples. ``weak``: classes learned before of which no example is recognized any more.
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
        """Accuracy that the basic classes lose to all learned ones together: 0.01 is a percentage point."""
        return self.basic_before - self.basic_after

    def __str__(self) -> str:
        worst = max(self.losses, key=self.losses.__getitem__)
        text = f"{self.label}: {self.examples} example{'s' * (self.examples != 1)}"
        text += f" ({self.skipped} picture{'s' * (self.skipped != 1)} without a face left out)" if self.skipped else ""
        text += f", {self.recognised:.0%} recognized; basic expressions lose {100 * self.loss:.1f} points"
        text += f" of {100 * self.basic_before:.1f}"
        text += f", most of them {worst} ({100 * self.losses[worst]:.1f})" if self.losses[worst] > 0 else ""
        return text + (f"; no longer recognised: {', '.join(self.weak)}" if self.weak else "")


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
    scores, rivals, agreement = _judge(fitter, sides, fits, label)
    if agreement is not None and agreement < MIN_AGREEMENT:
        raise EnrolmentRefused(
            f"the {count} examples of {label!r} do not agree: basic faces look as much like it as they do. Give "
            "examples of one expression, or enroll different ones under separate names"
        )
    _check_apart(label, scores, rivals)
    known = _won(fitter, sides[label], scores, rivals)
    if not known.any():
        basic = personal.basic[int(np.exp(sides[label][:, : fitter.basic]).mean(axis=0).argmax())]
        raise EnrolmentRefused(
            f"{label!r} looks too much like {basic}: none of its examples would be recognized while the basic "
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
        recognised=float(known.mean()),
        basic_before=float(before_right.mean()),
        basic_after=float(still_right.mean()),
        losses=losses,
        agreement=agreement,
        weak=weak,
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


def _judge(
    fitter: Fitter, sides: Mapping[str, Values], fits: Mapping[str, Values], label: str
) -> tuple[Values, dict[str, Values], float | None]:
    """The score (N,) of each example of a class, the scores that the other classes give it, and how well the examples
    agree. If there are enough examples, two fits are used, each of which saw one half of them."""
    mine = sides[label]
    scores = {name: mine @ fitted for name, fitted in fits.items()}
    if len(mine) < MIN_EXAMPLES_TO_JUDGE:
        return scores.pop(label), scores, None
    ranks = np.zeros(len(mine))
    for half in (0, 1):
        seen = np.arange(len(mine)) % 2 == half
        again = fitter.fit_all({**sides, label: mine[seen]})
        for name, fitted in again.items():
            scores[name][~seen] = mine[~seen] @ fitted
        basic = np.sort(fitter.lead(fitter.judged[fitter.right], again[label]))
        ranks[~seen] = np.searchsorted(basic, fitter.lead(mine[~seen], again[label])) / len(basic)
    return scores.pop(label), scores, float(ranks.mean())


def _won(fitter: Fitter, rows: Values, scores: Values, rivals: Mapping[str, Values]) -> NDArray[np.bool_]:
    """Which examples would get the label of their class."""
    best = np.max([rows[:, : fitter.basic].max(axis=1), *rivals.values()], axis=0)
    return np.asarray(scores > best)


def _check_apart(label: str, scores: Values, rivals: Mapping[str, Values]) -> None:
    """EnrolmentRefused if another learned class claims so many examples that the two cannot be text apart."""
    for name, theirs in rivals.items():
        if (theirs > scores).mean() > MAX_CLAIMED_SHARE:
            raise EnrolmentRefused(
                f"{label!r} looks like {name!r}, learned before: give clearer examples, or add these to {name!r}"
            )
