"""What enrollment says it cannot tell apart, and what it advises, on drawn numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_faces import EMPTY, drawn

from mien import EnrolmentRefused
from mien.enrollment.fitting import Fitter
from mien.enrollment.judging import mistaken_for
from mien.enrollment.learn import Enrolment, learn
from mien.enrollment.reference_faces import Exemplars

CLEAR = Enrolment("wink", 5, 0, 1.0, 0.8, 0.795, {"neutral": 0.0, "fear": 0.04}, None)


def test_a_class_of_its_own_raises_no_doubt(exemplars: Exemplars) -> None:
    _, report = learn(EMPTY, "wink", drawn(5, 1, shift=9), exemplars)
    assert (report.recognized, report.mistaken, report.doubts) == (1.0, {}, ())


@pytest.mark.parametrize(("count", "shift", "helps"), [(5, 4, "clearer pictures may help"), (20, 5, "--max-loss 2)")])
def test_what_it_is_mistaken_for_is_told_with_what_helps(
    exemplars: Exemplars, count: int, shift: float, helps: str
) -> None:
    """Each example is judged by a fit that has not seen it; by their own fit more would be recognized."""
    _, report = learn(EMPTY, "shrug", drawn(count, 3, shift=shift), exemplars, 0.002)
    assert report.recognized < 0.6
    assert report.recognized + sum(report.mistaken.values()) == pytest.approx(1)
    (doubt,) = report.doubts
    assert f"'shrug' cannot be told apart: {report.mistaken['neutral']:.0%} of its examples look like neutral" in doubt
    assert helps in doubt
    if report.enough:
        _, wider = learn(EMPTY, "shrug", drawn(count, 3, shift=shift), exemplars, report.enough)
        assert wider.recognized >= 0.6


def test_basic_and_learned_classes_are_counted_and_ties_are_lost() -> None:
    rows = np.array([[-1.0, -2.0], [-1.0, -2.0], [-3.0, -1.0], [-1.0, -3.0], [-1.0, -3.0]])
    scores, wink = np.array([0.0, -1.5, -1.5, -1.5, -1.0]), np.array([-4.0, -0.5, -4.0, -0.5, -4.0])
    found = mistaken_for(("neutral", "fear"), rows, scores, {"wink": wink})
    assert found == {"wink": 0.4, "fear": 0.2, "neutral": 0.2}
    assert next(iter(found)) == "wink"


def test_one_picture_shows_too_little(exemplars: Exemplars) -> None:
    _, report = learn(EMPTY, "wink", drawn(1, 1, shift=9), exemplars)
    (doubt,) = report.doubts
    assert "give five or more" in doubt


def test_a_basic_class_that_pays_for_it_and_a_class_that_is_lost_are_told() -> None:
    assert CLEAR.doubts == ()
    (paid,) = replace(CLEAR, losses={"fear": 0.08}).doubts
    assert paid.startswith("8 of 100 faces of fear lose that label")
    (lost,) = replace(CLEAR, weak=("grin",)).doubts
    assert lost.startswith("'grin', learned before, is recognized in none")


def test_a_refusal_names_the_loss_that_is_enough(exemplars: Exemplars) -> None:
    """A few basic faces look more like the class than its own examples do."""
    places = exemplars.places.copy()
    judges = Fitter(exemplars, 0.01).judges
    places[np.flatnonzero(judges)[::100], 9] += 20
    with pytest.raises(EnrolmentRefused, match=r"looks too much like neutral.*\(--max-loss \d+ is enough\)"):
        learn(EMPTY, "shrug", drawn(20, 3, shift=9), replace(exemplars, places=places), 0.002)
