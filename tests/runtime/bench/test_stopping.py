"""fer-bench that is stopped tells what it has measured, and writes no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_runs import Bench

import mien.bench.timing
from mien.bench.timing import Samples

pytest.importorskip("onnxruntime")


def started(*args: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from mien.cli.programs import fer_bench; fer_bench()", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_tells_what_it_has_and_writes_nothing(
    tiny_bundle: Path, clip: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "r.json"
    (tmp_path / "tmp").mkdir()
    env = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    args = [
        "--threads",
        "1",
        "--device",
        "cpu",
        "--model",
        str(tiny_bundle),
        "--clip",
        str(clip),
        "--json",
        str(out),
        "--seconds",
        "0.1",
    ]
    process = started(*args, env=env)
    while not any(path.stat().st_size for path in (tmp_path / "tmp").glob("*/stream.jsonl")):  # the clip's turn
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    text, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert "whole pipeline" in text
    assert not out.exists()
    assert list((tmp_path / "tmp").glob("tmp*")) == []


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_stopped_within_a_part_it_tells_its_rows(
    bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, done = mien.bench.timing._turn, []

    def turn(work: Callable[[], object], samples: Samples, seconds: float) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(samples)
        original(work, samples, seconds)

    monkeypatch.setattr(mien.bench.timing, "_turn", turn)
    with pytest.raises(KeyboardInterrupt):
        bench("--device", "cpu")
    assert capsys.readouterr().out.count("\n  cpu ") == 1
