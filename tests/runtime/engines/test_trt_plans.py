"""TensorRT's plans, on doubles of its module and CUDA's: built once, for one machine, and refused on another."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recording_cuda import Double
from threads_at_once import together

from mien.errors import EngineUnavailable, ModelInvalid, OutputError

Use = Callable[..., Any]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_plan_is_built_once_and_its_name_says_for_what(use: Use, double: Double, onnx: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(onnx.read_bytes()).hexdigest()
    plan = use("trt_plan").plan_for(onnx, precision="int8", cache=tmp_path / "cache")
    assert plan == tmp_path / "cache/plans" / f"int8-{digest}-sm_87x8-trt10.9.0.34-1.plan"
    assert files(tmp_path / "cache") == sorted([plan.name, "sm_87x8-trt10.9.0.34.timing"])
    assert use("trt_plan").plan_for(onnx, precision="int8", cache=tmp_path / "cache") == plan
    assert double.count["build"] == 1


def test_plans_lie_in_the_users_cache(
    use: Use, onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "here"))
    with caplog.at_level(logging.WARNING, "mien"):
        assert use("trt_plan").plan_for(onnx, precision="fp32").parent == tmp_path / "here/plans"
    assert "some minutes" in caplog.text  # nobody should think that it hangs
    monkeypatch.setenv("MIEN_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert use("trt_plan").plan_for(onnx, precision="fp32").parent == tmp_path / "home/.cache/mien/plans"


@pytest.mark.parametrize("change", ["capability", "processors", "version", "model", "precision", "dla", "build"])
def test_a_plan_of_something_else_is_never_taken(
    change: str, use: Use, double: Double, onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {"precision": "fp16", "cache": tmp_path / "cache"}
    before = use("trt_plan").plan_for(onnx, **arguments)
    new = {"capability": (8, 9), "processors": 16, "version": "10.3.0"}
    if change in new:
        setattr(double, change, new[change])
    elif change == "model":
        onnx.write_bytes(b"another model")
    elif change in ("precision", "dla"):
        arguments[change] = {"precision": "int8", "dla": 0}[change]
    plans = use("trt_plan")
    if change == "build":
        monkeypatch.setattr(plans.PlanKey.__init__, "__defaults__", (None, 2))
    after = plans.plan_for(onnx, **arguments)
    assert after != before
    assert double.count["build"] == 2
    assert before.is_file()
    assert after.is_file()


def test_an_explicit_plan_of_another_machine_is_refused(make: Use, use: Use, double: Double, tmp_path: Path) -> None:
    make()
    (plan,) = (tmp_path / "cache/plans").glob("*.plan")
    for name, value in (("capability", (8, 9)), ("processors", 16), ("version", "10.3.0")):
        old = getattr(double, name)
        setattr(double, name, value)
        with pytest.raises(EngineUnavailable, match=r"built for sm_87x8-trt10\.9\.0\.34.*give the ONNX file"):
            use("trt").TrtEngine(plan)
        setattr(double, name, old)
    with pytest.raises(EngineUnavailable, match="DLA core 1 was asked for"):
        use("trt").TrtEngine(plan, device="dla:1")
    with pytest.raises(EngineUnavailable, match="unknown device 'dla'"):
        use("trt").TrtEngine(plan, device="dla")
    assert double.count["deserialize"] == 1  # the first one, which was its own


def test_what_is_not_a_plan_is_refused(make: Use, use: Use, tmp_path: Path) -> None:
    make()
    (plan,) = (tmp_path / "cache/plans").glob("*.plan")
    other = plan.rename(tmp_path / "mine.plan")
    with pytest.raises(ModelInvalid, match="not named as a plan"):
        use("trt").TrtEngine(other)
    with pytest.raises(ModelInvalid, match="cannot read"):
        use("trt").TrtEngine(plan)
    plan.write_bytes(b"half of a pl")
    with pytest.raises(ModelInvalid, match=r"magic tag does not match; delete it"):
        use("trt").TrtEngine(plan)


def test_a_failed_build_leaves_nothing(use: Use, double: Double, onnx: Path, tmp_path: Path) -> None:
    double.build_error = "Could not find any implementation\nfor node Conv_3"
    with pytest.raises(ModelInvalid, match=r"cannot build .*: Could not find any implementation for node Conv_3"):
        use("trt_plan").plan_for(onnx, precision="fp32", cache=tmp_path / "cache")
    assert files(tmp_path / "cache") == []


def test_a_full_disk_leaves_nothing_half_written(
    use: Use, onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = use("trt_plan")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device; set MIEN_CACHE"):
        plans.plan_for(onnx, precision="fp32", cache=tmp_path / "cache")
    assert files(tmp_path / "cache") == []


def test_all_of_the_parsers_errors_are_told(use: Use, double: Double, onnx: Path, tmp_path: Path) -> None:
    double.parse_errors = [(2, "permute", "Transpose", "input has\ntype UInt8"), (7, "as_strided", "Gather", "no rank")]
    with pytest.raises(ModelInvalid) as caught:
        use("trt_plan").plan_for(onnx, precision="fp32", cache=tmp_path / "cache")
    assert "node 2 permute (Transpose): input has type UInt8; node 7 as_strided (Gather): no rank" in str(caught.value)
    assert str(onnx) in str(caught.value)


def test_without_a_gpu_it_says_so(use: Use, double: Double, onnx: Path) -> None:
    double.fail["cudaGetDevice"] = 1
    with pytest.raises(EngineUnavailable, match=r"no device \(cudaGetDevice\).*use device 'cpu'"):
        use("trt_plan").plan_for(onnx, precision="fp32")


def test_the_types_of_the_file_count(use: Use, double: Double, onnx: Path, tmp_path: Path) -> None:
    use("trt_plan").plan_for(onnx, precision="fp16", cache=tmp_path)
    assert double.what("create_network") == [1 << 1]  # strongly typed
    assert double.what("clear_flag") == ["TF32"]
    assert double.what("set_flag") == []


def test_sizes_of_crops_and_of_pictures(use: Use, double: Double, onnx: Path, tmp_path: Path) -> None:
    use("trt_plan").plan_for(onnx, precision="fp32", cache=tmp_path / "a")
    double.shape = (1, -1, -1, 3)
    use("trt_plan").plan_for(onnx, precision="fp32", cache=tmp_path / "b")
    assert double.what("set_shape") == [
        ("crops", (1, 6, 6, 3), (4, 6, 6, 3), (16, 6, 6, 3)),
        ("crops", (1, 32, 32, 3), (1, 384, 640, 3), (1, 1920, 1920, 3)),
    ]
    double.kind = "float32"
    with pytest.raises(ModelInvalid, match=r"is float32 \(1, -1, -1, 3\), but mien's engines feed uint8"):
        use("trt_plan").plan_for(onnx, precision="fp32", cache=tmp_path / "c")


def test_what_was_timed_is_kept(use: Use, double: Double, onnx: Path, tmp_path: Path) -> None:
    for precision in ("fp32", "fp16"):
        use("trt_plan").plan_for(onnx, precision=precision, cache=tmp_path)
    assert double.what("create_timing_cache") == [b"", b"timed"]
    kept = tmp_path / "plans/sm_87x8-trt10.9.0.34.timing"
    assert kept.read_bytes() == b"timedtimed"
    for useless in (b"broken", b"of another GPU"):
        kept.write_bytes(useless)
        onnx.write_bytes(useless)
        use("trt_plan").plan_for(onnx, precision="int8", cache=tmp_path)
        assert kept.read_bytes() == b"timed"


def test_two_threads_that_want_the_same_plan_build_it_once(
    use: Use, double: Double, onnx: Path, tmp_path: Path
) -> None:
    plans = use("trt_plan")
    together(4, lambda _: plans.plan_for(onnx, precision="fp32", cache=tmp_path))
    assert double.count["build"] == 1
