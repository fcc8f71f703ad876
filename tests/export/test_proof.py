"""Proofs: figures held against numbers made by hand, and limits that really refuse."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from torch import from_numpy
from torchmetrics.functional import concordance_corrcoef

from mien_export.calibration_faces import FaceCrops
from mien_export.proof import Limits, Proof, concordance, failures, prove, remarks, table


@dataclass
class Says:
    """Answers that its pixels decide: pixel (0, 0) of a crop is the row of its answer."""

    expression: np.ndarray
    affect: np.ndarray
    name: str = "fake"

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        rows = batch[:, 0, 0, 0]
        return {"expression": self.expression[rows], "affect": self.affect[rows]}


COUNT = 100
RNG = np.random.default_rng(0)
EXACT = Says(RNG.dirichlet(np.ones(8), COUNT).astype(np.float32), RNG.uniform(-1, 1, (COUNT, 2)).astype(np.float32))


def faces(labeled: bool) -> FaceCrops:
    crops = np.zeros((COUNT, 4, 4, 3), np.uint8)
    crops[:, 0, 0, 0] = np.arange(COUNT)
    truth = EXACT.expression.argmax(1) if labeled else np.full(COUNT, -1)
    affect = EXACT.affect if labeled else np.full((COUNT, 2), np.nan, np.float32)
    return FaceCrops(crops, truth, affect, "made up")


def proof(other: Says, labeled: bool = True, limits: Limits | None = None) -> Proof:
    return prove("int8", lambda _: (EXACT, other), faces(labeled), 0.28, limits or Limits(), "here")


def changed(share: float, affect: float = 0.0) -> Says:
    """Turns the label of ``share`` of the faces, and shrinks the affect."""
    expression = EXACT.expression.copy()
    rows = np.arange(round(share * COUNT))
    expression[rows] = np.roll(expression[rows], 1, axis=1)
    return Says(expression, EXACT.affect * (1 - affect))


def test_the_same_answers_pass() -> None:
    made = proof(EXACT)
    assert made.passed
    assert (made.agreement, made.probability_max, made.affect_max) == (1, 0, 0)
    assert made.accuracy == (1, 1)
    assert made.to_dict()["passed"] is True


def test_figures_are_what_they_say() -> None:
    made = proof(changed(0.1, affect=0.5))
    assert made.agreement == pytest.approx(0.9)
    assert made.accuracy == (1.0, 0.9)
    rolled = np.abs(np.roll(EXACT.expression[:10], 1, axis=1) - EXACT.expression[:10])
    assert made.probability_max == pytest.approx(rolled.max())
    assert made.probability_mean == pytest.approx(rolled.sum() / (8 * COUNT), rel=1e-5)
    assert made.affect_max == pytest.approx(np.abs(EXACT.affect).max() / 2)
    assert made.ccc_valence is not None
    assert made.ccc_valence[0] == pytest.approx(1)
    assert made.ccc_valence[1] < 0.9
    assert len(made.failures) == 3  # accuracy, valence, arousal


def test_concordance_is_lins() -> None:
    x, y = RNG.normal(0, 1, 50), RNG.normal(0.3, 2, 50)
    assert concordance(x, y) == pytest.approx(float(concordance_corrcoef(from_numpy(x), from_numpy(y))), abs=0.03)
    assert concordance(x, x) == pytest.approx(1)
    assert concordance(x, -x) < 0


@pytest.mark.parametrize(("share", "passes"), [(0.0, True), (0.01, True), (0.02, False)])
def test_accuracy_may_fall_by_a_point(share: float, passes: bool) -> None:
    assert proof(changed(share)).passed is passes
    assert proof(changed(share), limits=Limits(accuracy_drop=0.05)).passed


@pytest.mark.parametrize(("share", "passes"), [(0.03, True), (0.04, False)])
def test_without_labels_their_agreement_counts(share: float, passes: bool) -> None:
    made = proof(changed(share), labeled=False)
    assert made.accuracy is None
    assert made.ccc_valence is None
    assert made.passed is passes


def test_numbers_that_are_none_never_pass() -> None:
    broken = Says(np.full_like(EXACT.expression, np.nan), EXACT.affect)
    for labeled in (True, False):
        assert any("not numbers" in reason for reason in proof(broken, labeled).failures)


def test_speed_is_a_limit_only_where_it_was_asked_for() -> None:
    made = proof(EXACT)
    slow = replace(made, speedup={"1": 0.5, "2": 0.9})
    assert failures(slow, Limits()) == []
    assert any("0.90 times" in reason for reason in failures(slow, Limits(speedup=1.0)))
    assert any("slower than fp32" in text for text in remarks(slow))
    assert any("rough proof" in text for text in remarks(slow))
    assert not remarks(replace(made, faces=1000, speedup={"1": 1.5, "2": 0.9}))


def test_the_table_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    text = table([proof(changed(0.1)), proof(EXACT, labeled=False)]).splitlines()
    assert len(text) == 3
    assert "1.0000 -> 0.9000" in text[1]
    assert "no labels" in text[2]
