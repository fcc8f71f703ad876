"""A provider that a package of its own brings to ONNX Runtime: OpenVINO's, which really runs here."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("onnxruntime_ep_openvino") is None, reason="onnxruntime-ep-openvino is not installed"
)
# In a process of its own: its OpenVINO is another one than that of the package openvino.
CODE = """
import sys
from mien import Recognizer
from mien.bundle import find_bundle
from mien.engines.golden import check
from mien.engines.selection import open_backend

recognizer = Recognizer(device="ort-openvino", precision=sys.argv[1], threads=1)
print(recognizer.engine)
bundle = find_bundle("default")
engine = open_backend(bundle, ("ort-openvino", sys.argv[1]), 1)  # the plugin is registered once
print(engine.placed)
print(max(check(engine, bundle).values()))
"""


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-4), ("int8", 0.3)])
def test_it_computes_what_the_model_says(precision: str, most: float, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, precision], capture_output=True, text=True, timeout=300, check=False
    )
    if "it finds: nothing" in done.stderr:  # Intel's plugin finds no device on processors of others
        assert "EngineUnavailable" in done.stderr
        pytest.skip("OpenVINO's provider finds no device on this processor")
    assert done.returncode == 0, done.stderr[-2000:]
    engine, placed, gap = done.stdout.splitlines()[-3:]
    assert engine == f"onnxruntime/openvino {precision}"
    assert "OpenVINOExecutionProvider" in placed
    assert float(gap) <= most
