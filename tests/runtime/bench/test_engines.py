"""Engines that fer-bench measures, those that are not there, and those that give up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench_runs import Bench
from tiny_card import change

import mien.bench.engines
from mien.bundle import FILES
from mien.engines import has_library

pytest.importorskip("onnxruntime")


def reasons(report: Any) -> dict[str, str]:
    return {name: reason for reason, names in report["model"]["skipped"].items() for name in names}


def test_what_is_not_there_is_named(bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mien.bench.engines, "has_library", lambda device: device in ("cpu", "cuda"))
    code, report = bench()
    assert code == 0
    assert {row["device"] for row in report["model"]["rows"]} <= {"cpu", "cuda"}
    found = reasons(report)
    assert 'pip install "mien[openvino]"' in found["openvino"]
    assert 'pip install "mien[tensorrt]"' in found["tensorrt"]
    assert found["int8"] == found["fp16"] == "not in the bundle: fer-export makes it"
    assert "CUDAExecutionProvider" in found.get("cuda fp32", "CUDAExecutionProvider")
    monkeypatch.setattr(mien.bench.engines, "has_library", lambda _: True)
    assert "minutes" in reasons(bench()[1])["tensorrt"]


@pytest.mark.parametrize(
    ("args", "message"),
    [(["--device", "dla:1"], "TensorRT|tensorrt"), (["--precision", "int8", "--device", "cpu"], "has no int8 model")],
)
def test_what_is_asked_for_and_cannot_be_had_is_2(
    bench: Bench, model_only: None, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    if has_library("tensorrt") and "dla:1" in args:
        pytest.skip("this asks for TensorRT where there is none, and it is installed")
    code, report = bench(*args)
    assert (code, report) == (2, None)
    error = next(line for line in capsys.readouterr().err.splitlines() if "error" in line)
    assert any(part in error for part in message.split("|"))
    assert "fer-export makes it" not in error


def test_the_reference_is_measured_in_any_case(bench: Bench, bundle_copy: Path, model_only: None) -> None:
    change(bundle_copy, {FILES["int8"]: (bundle_copy / FILES["fp32"]).read_bytes()})
    args = ("--model", str(bundle_copy), "--precision", "int8", "--device", "cpu", "--batch", "4", "--threads", "2")
    _, report = bench(*args)
    rows = report["model"]["rows"]
    assert [(row["precision"], row["threads"], row["batch"]) for row in rows] == [("fp32", 1, 1), ("int8", 2, 4)]
    assert rows[0]["speed"] == 1
    assert rows[1]["speed"] > 0


@pytest.mark.skipif(not has_library("openvino"), reason="needs a second engine")
def test_without_onnxruntime_there_is_no_ratio(
    bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = mien.bench.engines.open_backend

    def open_backend(bundle: Any, way: Any, threads: int | None) -> Any:
        if way[0] != "openvino":
            raise ImportError("onnxruntime is not there")
        return original(bundle, way, threads)

    monkeypatch.setattr(mien.bench.engines, "open_backend", open_backend)
    code, report = bench()
    assert code == 0
    assert {row["speed"] for row in report["model"]["rows"]} == {None}
    assert reasons(report)["the reference of the column speed"] == "ImportError: onnxruntime is not there"


class Broken:
    """An engine that gives up after some calls."""

    name = "broken"

    def __init__(self, calls: int):
        self.left = calls

    def run(self, _: Any) -> dict[str, Any]:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("out of memory")
        return {}


def test_an_engine_that_gives_up_costs_no_other_its_row(
    bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = mien.bench.engines.open_backend

    def open_backend(bundle: Any, way: Any, threads: int | None) -> Any:
        return original(bundle, way, threads) if threads == 1 else Broken(2)

    monkeypatch.setattr(mien.bench.engines, "open_backend", open_backend)
    code, report = bench("--device", "cpu", "--threads", "1,2", "--batch", "1")
    assert code == 0
    assert [row["threads"] for row in report["model"]["rows"]] == [1]
    assert reasons(report)["cpu fp32, 2 threads, batch 1"] == "RuntimeError: out of memory"


def test_nothing_that_runs_is_1(
    bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mien.bench.engines, "open_backend", lambda *_: Broken(2))
    assert bench() == (1, None)
    assert "RuntimeError: out of memory" in capsys.readouterr().err
