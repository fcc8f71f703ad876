"""ONNX Runtime's other providers: on a double of a machine that has them all, and where only the CPU is."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from recording_sessions import CPU, Sessions
from threads_at_once import together

import mien.engines.ort_session
from mien.engines import load_engine
from mien.engines.ort import OrtEngine
from mien.engines.providers import PROVIDERS
from mien.errors import EngineUnavailable
from mien.types import Image

PLAIN = [name for name, provider in PROVIDERS.items() if name not in ("cpu", "ort-tensorrt") and not provider.plugin]


@pytest.fixture
def model(tiny_bundle: Path) -> Path:
    return tiny_bundle / "model.onnx"


@pytest.fixture
def batch() -> Image:
    made: Image = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    return made


@pytest.mark.parametrize("device", PLAIN)
def test_a_provider_runs_under_its_name(sessions: Sessions, model: Path, batch: Image, device: str) -> None:
    sessions.placed = {PROVIDERS[device].name: 70}
    engine = load_engine(model, device=device, threads=2)
    assert engine.name == f"onnxruntime/{device}"
    _, (asked,), session = sessions.opened[-1]
    name, given = asked if isinstance(asked, tuple) else (asked, {})
    assert name == PROVIDERS[device].name
    assert PROVIDERS[device].options.items() <= given.items()
    expected = OrtEngine(model).run(batch)
    for output, values in engine.run(batch).items():
        np.testing.assert_allclose(values, expected[output], rtol=1e-4, atol=1e-6)
    assert session.batches == ([1, 1, 1] if device == "coreml" else [3])


def test_threads_go_to_a_provider_with_threads_of_its_own(sessions: Sessions, model: Path) -> None:
    load_engine(model, device="xnnpack", threads=3)
    options, ((_, given),), _ = sessions.opened[-1]
    assert (given, options.intra_op_num_threads) == ({"intra_op_num_threads": "3"}, 1)


def test_shapes_are_fixed_for_a_provider_that_wants_them_known(sessions: Sessions, model: Path) -> None:
    engine = OrtEngine(model, device="coreml")
    assert sessions.opened[-1][2].get_inputs()[0].shape == [1, 112, 112, 3]
    assert engine.run(np.zeros((1, 112, 112, 3), np.uint8))["expression"].shape == (1, 8)


def test_directml_takes_one_call_at_a_time(sessions: Sessions, model: Path, batch: Image) -> None:
    engine = OrtEngine(model, device="directml")
    options, _, session = sessions.opened[-1]
    assert not options.enable_mem_pattern
    together(4, lambda _: [engine.run(batch) for _ in range(5)])
    assert not session.met
    assert len(session.batches) == 20


@pytest.mark.parametrize("device", PLAIN)
def test_another_provider_in_its_place_raises(sessions: Sessions, model: Path, device: str) -> None:
    sessions.active = CPU
    with pytest.raises(EngineUnavailable, match=f"asked for {PROVIDERS[device].name}, but .* would run {CPU}"):
        OrtEngine(model, device=device)


def test_a_provider_that_takes_no_operator_raises(sessions: Sessions, model: Path) -> None:
    sessions.placed = {CPU: 70}
    with pytest.raises(EngineUnavailable, match=r"CoreMLExecutionProvider takes no operator of .*use device 'cpu'"):
        OrtEngine(model, device="coreml")


def test_operators_that_remain_on_the_cpu_are_said(
    sessions: Sessions, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sessions.placed = {"CoreMLExecutionProvider": 65, CPU: 5}
    engine = OrtEngine(model, device="coreml")
    assert engine.placed == {"CoreMLExecutionProvider": 65, CPU: 5}
    assert f"5 of 70 operators of {model} run on the CPU, not on CoreMLExecutionProvider" in caplog.text


def test_an_onnxruntime_that_does_not_tell_says_nothing(
    sessions: Sessions, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert OrtEngine(model, device="coreml").placed == {}
    assert caplog.records == []


@pytest.mark.parametrize("device", [name for name in PROVIDERS if name != "cpu"])
def test_a_provider_that_is_not_here_says_what_brings_it(
    model: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for provider in PROVIDERS.values():
        if provider.plugin:
            monkeypatch.setitem(sys.modules, provider.plugin, None)
    if PROVIDERS[device].name in mien.engines.ort_session.ort.get_available_providers():
        pytest.skip("this asks for a provider that is not here")
    with pytest.raises(EngineUnavailable, match=f"has no {PROVIDERS[device].name}; ") as caught:
        load_engine(model, device=device)
    assert PROVIDERS[device].remedy in str(caught.value)


def test_the_cpu_takes_every_operator(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        placed = OrtEngine(model).placed
    assert set(placed) <= {CPU}
    assert caplog.records == []


@pytest.mark.parametrize(
    ("units", "message"), [(["CPU"], r"finds no NPU .*\(it finds: CPU\)"), ([], "it finds: nothing")]
)
def test_a_plugin_without_its_hardware_raises(
    monkeypatch: pytest.MonkeyPatch, model: Path, units: list[str], message: str
) -> None:
    """As onnxruntime-qnn on a machine without Qualcomm's accelerator."""
    ort = mien.engines.ort_session.ort
    plugin = ModuleType("onnxruntime_qnn")
    plugin.get_library_path = lambda: "libqnn.so"  # type: ignore[attr-defined]
    registered: list[Any] = []
    found = [SimpleNamespace(ep_name="QNNExecutionProvider", device=SimpleNamespace(type=SimpleNamespace(name=unit)))
             for unit in units]  # fmt: skip
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", plugin)
    monkeypatch.setattr(ort, "register_execution_provider_library", lambda *what: registered.append(what))
    monkeypatch.setattr(ort, "get_ep_devices", lambda: found if registered else [])
    with pytest.raises(EngineUnavailable, match=message):
        load_engine(model, device="qnn")
    assert registered == [("QNNExecutionProvider", "libqnn.so")]
