"""Whoever asks for bfloat16 where it is emulated hears of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import mien_train.loop.precision
from mien_train.data.sets import load_with_landmarks
from mien_train.loop.precision import warn_of_emulation
from mien_train.teachers import load_teacher
from mien_train.teachers.cache import write_cache


@pytest.mark.parametrize(
    ("knows", "precision", "device", "warned"),
    [
        (False, "bf16", "cpu", True),
        (True, "bf16", "cpu", False),
        (False, "no", "cpu", False),
        (False, "bf16", "cuda", False),
    ],
)
def test_only_emulation_is_warned_of(
    knows: bool, precision: str, device: str, warned: bool,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(mien_train.loop.precision, "_knows_bfloat16", lambda: knows)
    assert warn_of_emulation(precision, device) is warned
    assert ("leave bf16 out" in capsys.readouterr().err) is warned


def test_a_cache_says_it(
    teacher: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mien_train.loop.precision, "_knows_bfloat16", lambda: False)
    write_cache(load_teacher(teacher), load_with_landmarks("rafdb/test", data), tmp_path, "bf16")
    assert "does not know bfloat16" in capsys.readouterr().err
