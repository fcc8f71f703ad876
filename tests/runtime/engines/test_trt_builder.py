"""NVIDIA's own parser and builder, of TensorRT for RTX, which plan without a GPU."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mien.engines.ort
from mien.errors import ModelInvalid

Use = Callable[..., Any]


@pytest.mark.parametrize("network", ["student", "yunet"])
def test_nvidias_builder_plans_the_packaged_models(network: str, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pytest.importorskip(
        "tensorrt_rtx_bindings", reason="needs: pip install tensorrt-rtx-cu12-bindings tensorrt-rtx-cu12-libs"
    )
    folder = Path(mien.engines.ort.__file__).parents[1] / "models" / network
    (path,) = folder.glob("model.onnx" if network == "student" else "*.onnx")
    plans = use("trt_plan")
    monkeypatch.setitem(sys.modules, "tensorrt", real)
    plans = importlib.reload(plans)
    plan, timing = plans.build(path.read_bytes(), str(path), None, b"")
    assert plan.nbytes > path.stat().st_size / 2
    assert timing.nbytes > 0
    with pytest.raises(ModelInvalid, match="Failed to parse the ONNX model"):
        plans.build(b"no model", "none.onnx", None, b"")
