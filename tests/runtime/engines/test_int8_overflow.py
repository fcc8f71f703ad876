"""INT8 on processors whose 8-bit products overflow: exact, or refused, never wrong in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.bundle import find_bundle
from mien.engines import EngineUnavailable, has_library, load_engine
from mien.engines.golden import INT8_WRONG, agrees, check
from mien.engines.selection import open_backend, select_backend
from mien.types import Floats, Image


def test_the_packaged_int8_model_is_right_on_onnx_runtime_whatever_the_processor() -> None:
    bundle = find_bundle("default")
    differences = check(load_engine(bundle.model_file("int8"), threads=1), bundle)
    assert differences is not None
    assert agrees(differences, "int8")


@pytest.mark.skipif(not has_library("openvino"), reason="no OpenVINO")
def test_on_openvino_it_is_right_or_refused() -> None:
    bundle = find_bundle("default")
    differences = check(load_engine(bundle.model_file("int8"), device="openvino", threads=1), bundle)
    assert differences is not None
    if differences["expression"] > INT8_WRONG:
        with pytest.raises(EngineUnavailable, match="precision='fp32'"):
            open_backend(bundle, ("openvino", "int8"), 1)
    else:
        open_backend(bundle, ("openvino", "int8"), 1)


class _Overflowing:
    """An engine that names another class on every crop."""

    name = "faulty/cpu"

    def __init__(self, real: object):
        self._real = real

    def run(self, batch: Image) -> dict[str, Floats]:
        outputs = self._real.run(batch)  # type: ignore[attr-defined]
        return outputs | {"expression": np.roll(outputs["expression"], 1, axis=1)}


def test_an_int8_engine_that_computes_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    real = load_engine

    def load(path: Path, *, precision: str = "fp32", **more: object) -> object:
        engine = real(path, precision=precision, **more)  # type: ignore[arg-type]
        return _Overflowing(engine) if precision == "int8" else engine

    monkeypatch.setattr("mien.engines.selection.load_engine", load)
    bundle = find_bundle("default")
    with pytest.raises(EngineUnavailable, match="wrong in int8 on this processor"):
        open_backend(bundle, ("cpu", "int8"), 1)
    selection = select_backend(bundle, "cpu", "auto", 1)
    assert selection.precision == "fp32"
    assert "wrong in int8" in selection.refused["cpu int8"]
