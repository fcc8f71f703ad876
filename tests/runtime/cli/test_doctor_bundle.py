"""fer-doctor on bundles that are missing, corrupt or without golden outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor_runs import Doctor, texts
from tiny_card import change

from mien.bundle import FILES

pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("empty_cache")


def test_a_corrupt_bundle(doctor: Doctor, bundle: Path) -> None:
    (bundle / FILES["fp32"]).write_bytes(b"altered")
    code, report = doctor()
    assert code == 1
    assert report["bundle"]["files"][FILES["fp32"]] == "does not match its card"
    assert "export or copy the bundle again" in texts(report, True)[0]
    change(bundle, {FILES["fp32"]: b"broken before it was packed"})
    code, report = doctor()
    assert code == 1
    assert "matches its card" in report["bundle"]["files"][FILES["fp32"]]
    assert any("cannot load" in text for text in texts(report, True))
    (bundle / "card.json").write_text("{")
    code, report = doctor()
    assert code == 1
    assert "not valid JSON" in texts(report, True)[0]
    assert "libraries" in report
    (bundle / "card.json").unlink()
    assert doctor()[0] == 1


def test_a_model_that_does_not_exist(doctor: Doctor, tmp_path: Path) -> None:
    code, report = doctor("--model", str(tmp_path / "none"))
    assert code == 1
    assert "no model" in texts(report, True)[0]


def test_a_broken_golden_file_is_1(doctor: Doctor, bundle: Path) -> None:
    change(bundle, {"golden.json": b"{"})
    code, report = doctor()
    assert code == 1
    assert all("golden outputs" in text for text in texts(report, True))


def test_without_golden_outputs_it_says_so(doctor: Doctor, tiny_bundle: Path) -> None:
    code, report = doctor("--model", str(tiny_bundle))
    assert code == 0
    assert report["bundle"]["golden_outputs"] is False
    assert "export it again" in report["ways"]["cpu fp32"]["golden"]
