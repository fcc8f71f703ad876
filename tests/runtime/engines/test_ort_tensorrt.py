"""ONNX Runtime's TensorRT provider, in sessions that say they have it and run on the CPU."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mien.engines.ort
from mien.errors import EngineUnavailable
from mien.types import Image


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What sessions were opened with, on a machine whose ONNX Runtime has the provider; they run on the CPU."""
    ort = mien.engines.ort.ort
    opened: list[Any] = []
    real = ort.InferenceSession

    class Session:
        first = ""  # the provider that is active in place of the one asked for

        def __init__(self, path: str, options: Any = None, providers: Any = None):
            opened.append((options, providers, self))
            self._asked = providers[0] if isinstance(providers[0], str) else providers[0][0]
            self._session = real(path, providers=["CPUExecutionProvider"])
            self.get_inputs, self.get_outputs = self._session.get_inputs, self._session.get_outputs
            self.batches: list[int] = []

        def get_providers(self) -> list[str]:
            return [Session.first or self._asked, "CPUExecutionProvider"]

        def run(self, names: list[str], feeds: dict[str, Image]) -> Any:
            self.batches += [len(batch) for batch in feeds.values()]
            return self._session.run(names, feeds)

    monkeypatch.setattr(ort, "InferenceSession", Session)
    monkeypatch.setattr(ort, "get_available_providers", lambda: list(mien.engines.ort.PROVIDERS.values()))
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return opened


def test_ort_tensorrt_keeps_its_engines_by_content(sessions: list[Any], tiny_bundle: Path, tmp_path: Path) -> None:
    path = tiny_bundle / "model.onnx"
    engine = mien.engines.ort.OrtEngine(path, device="ort-tensorrt")
    assert engine.name == "onnxruntime/tensorrt"
    options, providers, _ = sessions[-1]
    assert options.get_session_config_entry("session.disable_quant_qdq") == "1"
    (first, given), second = providers
    assert (first, second) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] in given["trt_engine_cache_path"]
    assert Path(given["trt_engine_cache_path"]).is_dir()
    assert given["trt_engine_cache_path"].startswith(str(tmp_path / "cache"))
    assert [given[f"trt_profile_{name}_shapes"] for name in ("min", "opt", "max")] == [
        f"crops:{n}x112x112x3" for n in (1, 4, 16)
    ]
    assert not {"trt_fp16_enable", "trt_int8_enable"} & set(given)


def test_ort_tensorrt_splits_what_it_did_not_prepare_for(sessions: list[Any], tiny_bundle: Path) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (20, 112, 112, 3), np.uint8)
    path = tiny_bundle / "model.onnx"
    outputs = mien.engines.ort.OrtEngine(path, device="ort-tensorrt").run(batch)
    assert sessions[-1][2].batches == [16, 4]
    for name, values in mien.engines.ort.OrtEngine(path).run(batch).items():
        np.testing.assert_allclose(outputs[name], values, rtol=1e-5)


def test_ort_tensorrt_never_runs_something_else_in_silence(
    sessions: list[Any], tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_bundle / "model.onnx"
    monkeypatch.setattr(mien.engines.ort.ort.InferenceSession, "first", "CUDAExecutionProvider")
    with pytest.raises(EngineUnavailable, match=r"asked for Tensorrt.*would run CUDA.*TensorRT, CUDA and cuDNN"):
        mien.engines.ort.OrtEngine(path, device="ort-tensorrt")
    monkeypatch.setattr(mien.engines.ort.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(EngineUnavailable, match=r"has no TensorrtExecutionProvider.*mien\[gpu\]"):
        mien.engines.ort.OrtEngine(path, device="ort-tensorrt")
