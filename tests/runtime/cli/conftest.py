"""fer-doctor as a function of its arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from doctor_runs import Doctor
from tiny_card import add_golden

import mien.diagnostics.selftest
import mien.engines.selection
from mien.cli import doctor as fer_doctor


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of the test's own, in which nothing is measured yet."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def bundle(bundle_copy: Path) -> Path:
    """A copy of the tiny bundle that a test may break, with golden outputs."""
    return add_golden(bundle_copy)


@pytest.fixture
def doctor(bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """``doctor("--device", "cpu")`` -> exit code and report."""
    monkeypatch.setattr(mien.diagnostics.selftest, "ROUNDS", 2)
    monkeypatch.setattr(mien.engines.selection, "CALLS", 1)

    def call(*args: str) -> tuple[int, Any]:
        code = fer_doctor.run(fer_doctor.parse_args(["--threads", "1", "--model", str(bundle), "--json", *args]))
        return code, json.loads(capsys.readouterr().out, parse_constant=pytest.fail)

    return call
