"""A face at rest, which is taken off what is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_faces import EMPTY, drawn

from mien import EnrolmentRefused, Recognizer
from mien.enrollment.learn import learn
from mien.enrollment.neutral import Baseline
from mien.enrollment.reference_faces import Exemplars
from mien.types import EXPRESSIONS, Affect, Image


def test_rest_is_divided_out_of_the_basic_share_alone(exemplars: Exemplars) -> None:
    made, _ = learn(EMPTY, "wink", drawn(5, 1, shift=9), exemplars)
    looks = np.full(8, 0.05)
    looks[[0, 2]] = 0.2, 0.5
    rest = Baseline(dict(zip(EXPRESSIONS, looks, strict=True)), Affect(-0.5, 0.1))
    settled = replace(made, rest=rest)
    basic, embedding = looks[None].astype(np.float32), drawn(1, 9).embedding
    plain, corrected = made.read(basic, embedding), settled.read(basic, embedding)
    assert plain[0, :8].argmax() == 2
    assert corrected[0, :8].argmax() == 0
    assert corrected[0, 8] == pytest.approx(plain[0, 8])
    assert corrected.sum() == pytest.approx(1)
    assert settled.shift(Affect(-0.5, 0.1)) == Affect(0, 0)


def test_a_smile_is_no_face_at_rest(fresh: Recognizer, portrait: Image) -> None:
    with pytest.raises(EnrolmentRefused, match="clearly show happiness"):
        fresh.enroll_neutral([portrait])
    assert fresh.personal.rest is None


def test_a_face_at_rest_is_taken_off(tiny_bundle: Path, tmp_path: Path, portrait: Image) -> None:
    """The tiny model sees the astronaut as hardly anything; what it sees becomes neutral without affect."""
    recognizer = Recognizer(tiny_bundle, threads=1)
    (before,) = recognizer.predict(portrait)
    recognizer.enroll_neutral([portrait])
    (after,) = recognizer.predict(portrait)
    assert after.expression.probabilities["neutral"] > before.expression.probabilities["neutral"]
    assert abs(after.affect.valence) < 1e-6 < abs(before.affect.valence)
    recognizer.save_personal(tmp_path / "p.npz")
    (again,) = Recognizer(tiny_bundle, threads=1, personal=tmp_path / "p.npz").predict(portrait)
    assert again.affect == after.affect
