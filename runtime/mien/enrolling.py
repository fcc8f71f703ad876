"""What a recognizer can learn on the device: expressions from a few examples, and a person's face at rest."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from numpy.typing import ArrayLike

from mien.bundle import Bundle
from mien.enrollment.classes import Personal
from mien.enrollment.learn import MAX_LOSS, Enrolment, learn
from mien.enrollment.neutral import Baseline
from mien.enrollment.reference_faces import read_exemplars
from mien.enrollment.storage import save_personal
from mien.validation import check_number, check_range
from mien.vision.detector import Detector
from mien.vision.examples import read_examples, rest_of
from mien.vision.expression import ExpressionModel


class EnrollmentMixin:
    """The part of a ``Recognizer`` that learns."""

    _bundle: Bundle
    _detector: Detector
    _model: ExpressionModel
    _learning: threading.Lock

    @property
    def personal(self) -> Personal:
        """What was learned on this device. Set it to restore an earlier state, or to the result of its ``renamed`` or
        ``removed``; InputError if it was learned with another model."""
        return self._model.personal

    @personal.setter
    def personal(self, personal: Personal) -> None:
        self._model = self._model.with_personal(personal)

    def enroll(
        self, label: str, pictures: Sequence[ArrayLike], *, max_loss: float = MAX_LOSS, skip_faceless: bool = False
    ) -> Enrolment:
        """Learn an expression from examples. ``predict`` knows it from the next call on, and new streams do too.

        Args:
            label: Name of the expression. One that was learned before gets these examples in addition.
            pictures: uint8 BGR frames or crops (H, W, 3), with one face each.
            max_loss: Accuracy that the basic expressions may lose to all learned ones; 0.01 is a percentage point.
            skip_faceless: Leave out pictures without a face, instead of raising InputError.

        Returns:
            What was learned, and what it costs.

        Raises:
            InputError: The label or a picture cannot be used.
            EnrolmentRefused: The examples disagree, look like another class, or would cost too much accuracy.
            ModelInvalid: The bundle holds no exemplars.
        """
        max_loss = check_number(max_loss, "max_loss")
        check_range(max_loss, "max_loss", 0.0 < max_loss <= 1.0, "a share above 0 and up to 1, such as 0.01 for 1 %")
        examples, _, skipped = read_examples(pictures, self._detector, self._model, skip_faceless)
        with self._learning:
            learned, report = learn(self.personal, label, examples, read_exemplars(self._bundle), max_loss, skipped)
            self.personal = learned
        return report

    def save_personal(self, path: str | Path) -> None:
        """Write what was learned to a small file, for the argument ``personal``. OutputError if that fails; an existing
        file then stays as it was."""
        save_personal(self.personal, path)

    def enroll_neutral(self, pictures: Sequence[ArrayLike], *, skip_faceless: bool = False) -> Baseline:
        """Learn how a person looks at rest, which is subtracted from then on, also from valence and arousal.

        This is for a recognizer that only one person uses. Set ``personal`` to ``replace(personal, rest=None)`` to
        forget it.

        Args:
            pictures: uint8 BGR frames or crops (H, W, 3), with one face each.
            skip_faceless: Leave out pictures without a face, instead of raising InputError.

        Returns:
            How the person looks at rest.

        Raises:
            InputError: A picture cannot be used.
            EnrolmentRefused: The face is clearly not at rest.
        """
        examples, affect, _ = read_examples(pictures, self._detector, self._model, skip_faceless)
        with self._learning:
            rest = rest_of(examples, affect, self._model.card.labels)
            self.personal = replace(self.personal, rest=rest)
        return rest
