"""fer-bench as a function of its arguments: on the tiny bundle and a short clip, or on a part of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_runs import QUICK, Bench

import mien.bench.report
import mien.bench.timing
from mien.bench import parse_args, run


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "talk.mp4")


@pytest.fixture
def few_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mien.bench.timing, "BLOCKS", 1)
    monkeypatch.setattr(mien.bench.timing, "WARM_UP", 1)
    monkeypatch.setattr(mien.bench.report, "_detector", lambda *_: None)


@pytest.fixture
def model_only(monkeypatch: pytest.MonkeyPatch, few_turns: None) -> None:
    monkeypatch.setattr(mien.bench.report, "_clip", lambda *_: None)


@pytest.fixture
def bench(tiny_bundle: Path, tmp_path: Path, clip: Path) -> Bench:
    """``bench("--batch", "1")`` -> exit code, and the report or None."""

    def call(*args: str) -> tuple[int, Any]:
        path = tmp_path / "report.json"
        code = run(parse_args([*QUICK, "--model", str(tiny_bundle), "--clip", str(clip), "--json", str(path), *args]))
        return code, json.loads(path.read_text(), parse_constant=pytest.fail) if path.exists() else None

    return call
