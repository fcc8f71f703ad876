"""fer-doctor's test of each device and precision: what differs from the golden outputs, fails or is not proven."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doctor_runs import Doctor, texts
from tiny_card import add_golden, change

import mien.diagnostics.selftest
from mien.bundle import FILES
from mien.engines.selection import Backend
from mien.types import Floats, Image

pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("empty_cache")


def with_int8(bundle: Path, passed: bool | None) -> Path:
    proofs = {} if passed is None else {"int8": {"passed": passed}}
    return change(bundle, {FILES["int8"]: (bundle / FILES["fp32"]).read_bytes()}, proofs=proofs)


def spoil(monkeypatch: pytest.MonkeyPatch, precision: str, change: Callable[[Floats], Floats]) -> None:
    """Every engine of a precision gives other valences and arousals."""
    original = mien.diagnostics.selftest.open_backend

    def open_backend(bundle: Any, way: Backend, threads: int | None) -> Any:
        engine = original(bundle, way, threads)
        if way[1] == precision:
            right = engine.run

            def run(batch: Image) -> dict[str, Floats]:
                made = dict(right(batch))
                return made | {"affect": change(made["affect"])}

            engine.run = run
        return engine

    monkeypatch.setattr(mien.diagnostics.selftest, "open_backend", open_backend)


def test_wrong_answers_are_1(doctor: Doctor, bundle: Path) -> None:
    add_golden(bundle, shift=0.01)
    code, report = doctor()
    assert code == 1
    assert all(facts["golden"] == "differs" for facts in report["ways"].values())
    assert len(texts(report, True)) == len(report["ways"])
    assert "cpu fp32 on onnxruntime/cpu differs from the golden outputs: expression " in texts(report, True)[0]
    assert ", affect 0.01 (limits 0.001 and 0.002)" in texts(report, True)[0]


def test_int8_that_differs_is_named_and_no_error(doctor: Doctor, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_int8(bundle, passed=True)
    with monkeypatch.context() as patch:
        spoil(patch, "int8", lambda affect: affect + np.float32(0.25))
        code, report = doctor()
    assert code == 0
    assert report["ways"]["cpu int8"]["golden"] == report["ways"]["cpu fp32"]["golden"] == "agrees"
    spoil(monkeypatch, "int8", lambda affect: affect + np.float32(0.35))
    code, report = doctor()
    assert code == 0
    assert (report["ways"]["cpu int8"]["golden"], report["ways"]["cpu fp32"]["golden"]) == ("differs", "agrees")
    assert any("cpu int8 on onnxruntime/cpu differs" in text for text in texts(report, False))
    assert texts(report, True) == []


def test_a_way_that_nobody_needs_may_fail(doctor: Doctor, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Floats) -> Floats:
        raise RuntimeError("not on this processor")

    with_int8(bundle, passed=True)
    spoil(monkeypatch, "int8", fail)
    code, report = doctor("--device", "cpu", "--precision", "fp32")
    assert code == 0
    assert report["ways"]["cpu int8"] == {"fails": "RuntimeError: not on this processor"}
    assert "cpu int8: RuntimeError: not on this processor" in texts(report, False)
    code, report = doctor("--device", "cpu", "--precision", "int8")
    assert code == 1
    assert "cpu int8: RuntimeError: not on this processor" in texts(report, True)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_numbers_that_are_not_finite_are_an_error(
    doctor: Doctor, bundle: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    with_int8(bundle, passed=True)
    spoil(monkeypatch, precision, lambda affect: affect * np.float32("nan"))
    code, report = doctor()
    assert code == 1
    assert report["ways"][f"cpu {precision}"]["differences"]["affect"] == "not finite"


@pytest.mark.parametrize(
    ("passed", "proof", "tried"),
    [
        (True, "passed", True),
        (False, "did not pass, so auto does not take it", False),
        (None, "there is none, so auto does not take it", False),
    ],
)
def test_proofs(doctor: Doctor, bundle: Path, passed: bool | None, proof: str, tried: bool) -> None:
    with_int8(bundle, passed)
    code, report = doctor()
    assert code == 0
    assert report["bundle"]["precisions"] == ["fp32", "int8"]
    assert report["bundle"]["proofs"] == {"int8": proof}
    assert ("cpu int8" in report["ways"]) is tried
    assert "cpu int8" in doctor("--precision", "int8", "--device", "cpu")[1]["ways"]
