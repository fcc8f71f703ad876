"""ONNX Runtime's TensorRT provider, in sessions that say they have it and run on the CPU."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from recording_sessions import Sessions

import mien.engines.ort
import mien.engines.ort_session
from mien.errors import EngineUnavailable


def test_ort_tensorrt_keeps_its_engines_by_content(sessions: Sessions, tiny_bundle: Path, tmp_path: Path) -> None:
    path = tiny_bundle / "model.onnx"
    engine = mien.engines.ort.OrtEngine(path, device="ort-tensorrt")
    assert engine.name == "onnxruntime/tensorrt"
    options, providers, _ = sessions.opened[-1]
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


def test_ort_tensorrt_splits_what_it_did_not_prepare_for(sessions: Sessions, tiny_bundle: Path) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (20, 112, 112, 3), np.uint8)
    path = tiny_bundle / "model.onnx"
    outputs = mien.engines.ort.OrtEngine(path, device="ort-tensorrt").run(batch)
    assert sessions.opened[-1][2].batches == [16, 4]
    for name, values in mien.engines.ort.OrtEngine(path).run(batch).items():
        np.testing.assert_allclose(outputs[name], values, rtol=1e-5)


def test_ort_tensorrt_never_runs_something_else_in_silence(
    sessions: Sessions, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_bundle / "model.onnx"
    sessions.active = "CUDAExecutionProvider"
    with pytest.raises(EngineUnavailable, match=r"asked for Tensorrt.*would run CUDA.*TensorRT, CUDA and cuDNN"):
        mien.engines.ort.OrtEngine(path, device="ort-tensorrt")
    monkeypatch.setattr(mien.engines.ort_session.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(EngineUnavailable, match=r"has no TensorrtExecutionProvider.*mien\[gpu\]"):
        mien.engines.ort.OrtEngine(path, device="ort-tensorrt")
