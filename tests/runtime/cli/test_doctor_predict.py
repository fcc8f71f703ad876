"""fer-doctor's prediction for a picture: without the portrait, failing, and finding no face."""

from __future__ import annotations

import pytest
from doctor_runs import Doctor, texts

import mien.diagnostics.selftest

pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("empty_cache")


def test_without_scikit_image(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.sources.demo.find_spec", lambda _: None)
    code, report = doctor()
    assert code == 0
    assert "640x360 blank frame" in report["predict"]["picture"]
    assert "pip install scikit-image" in report["predict"]["picture"]
    assert report["predict"]["milliseconds"] > 0


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), OSError(28, "No space left"), KeyError("cls_8")])
def test_a_failing_predict_is_1(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(mien.diagnostics.selftest.Recognizer, "predict", fail)
    code, report = doctor()
    assert code == 1
    assert type(error).__name__ in report["predict"]["fails"]


def test_a_detector_that_finds_nothing_is_1(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mien.diagnostics.selftest.Recognizer, "predict", lambda *_: [])
    code, report = doctor()
    assert code == 1
    assert "no face was found" in texts(report, True)[0]
