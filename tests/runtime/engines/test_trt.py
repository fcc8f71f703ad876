"""TensorRT, against doubles of its module and CUDA's; where it is installed, NVIDIA's builder that needs no GPU."""

from __future__ import annotations

import gc
import hashlib
import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from recording_tensorrt import Double

import mien.engines.ort
from mien.errors import EngineUnavailable, InputError, ModelInvalid, OutputError
from mien.types import Image

ENGINES = ("mien.engines.trt", "mien.engines.trt_plan")
Use = Callable[..., Any]


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
def use(double: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """``use("trt_plan")``: a module of the engine as it is on the machine that ``double`` is now, freshly imported."""

    def use(name: str) -> ModuleType:
        for module in ENGINES:
            sys.modules.pop(module, None)
        for module, content in double.modules().items():
            monkeypatch.setitem(sys.modules, module, content)
        return importlib.import_module(f"mien.engines.{name}")

    yield use
    gc.collect()  # engines free their memory while their double is still there
    for module in ENGINES:
        sys.modules.pop(module, None)


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a model, which the double does not read")
    return path


@pytest.fixture
def make(use: Use, onnx: Path, tmp_path: Path) -> Use:
    def make(device: str = "tensorrt", precision: str = "fp16") -> Any:
        trt = use("trt")
        plans = sys.modules["mien.engines.trt_plan"]
        plan = plans.plan_for(onnx, precision=precision, cache=tmp_path / "cache", dla=plans.core_of(device))
        return trt.TrtEngine(plan, device=device)

    return make


def crops(count: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), np.uint8)


def check(outputs: dict[str, Any], batch: Image) -> None:
    sums = batch.reshape(len(batch), -1).sum(axis=1, dtype=np.float64)
    assert list(outputs) == ["expression", "affect", "embedding"]
    for (name, values), width in zip(outputs.items(), (8, 2, 16), strict=True):
        assert values.dtype == np.float32, name
        np.testing.assert_array_equal(values, (sums[:, None] + np.arange(width)).astype(np.float32), err_msg=name)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# Plans


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


# The accelerators of a Jetson


def test_dla(make: Use, double: Double) -> None:
    engine = make("dla:1")
    assert engine.name == "tensorrt/10.9/sm_87/dla:1"
    assert double.what("build") == [("DLA", 1)]
    assert double.what("set_flag") == ["GPU_FALLBACK"]
    assert double.what("deserialize") == [1]
    assert double.what("set_shape") == [("crops", *[(1, 6, 6, 3)] * 3)]  # it knows one size only
    batch = crops(3)
    check(engine.run(batch), batch)
    assert double.count["execute_async_v3"] == 3


def test_dla_is_refused_where_it_would_be_the_gpu_in_silence(make: Use, double: Double) -> None:
    with pytest.raises(EngineUnavailable, match="fp16 or int8, not fp32"):
        make("dla:0", "fp32")
    double.placed_on_dla = 0
    with pytest.raises(EngineUnavailable, match="no layer of the model can run on the DLA"):
        make("dla:0")
    double.dla_cores, double.placed_on_dla = 1, 5
    with pytest.raises(EngineUnavailable, match="there is no DLA core 1: this machine has 1"):
        make("dla:1")
    double.shape = (1, -1, -1, 3)
    with pytest.raises(EngineUnavailable, match="takes pictures of one size"):
        make("dla:0")


# Running


def test_outputs_are_those_of_each_crop(make: Use) -> None:
    engine = make()
    assert engine.name == "tensorrt/10.9/sm_87"
    batch = crops(5)
    outputs = engine.run(batch)
    check(outputs, batch)
    check(engine.run(batch[:, ::-1]), batch[:, ::-1])  # need not be contiguous
    engine.run(crops(5, seed=1))
    check(outputs, batch)  # results are the caller's own


def test_more_than_the_plan_takes_goes_in_turns(make: Use, double: Double) -> None:
    batch = crops(40)
    check(make().run(batch), batch)
    assert [shape[0] for shape in double.what("execute_async_v3")] == [16, 16, 8]


def test_memory_is_pinned_reused_and_grown_only_for_more(make: Use, double: Double) -> None:
    engine = make()
    for count in (4, 1, 3, 4):
        batch = crops(count)
        check(engine.run(batch), batch)
    assert double.count["cudaMalloc"] == double.count["cudaHostAlloc"] == double.count["set_tensor_address"] == 4
    assert double.count["cudaFree"] == 0
    batch = crops(9)
    check(engine.run(batch), batch)
    assert double.count["cudaMalloc"] == double.count["cudaHostAlloc"] == double.count["set_tensor_address"] == 8
    assert double.count["cudaFree"] == double.count["cudaFreeHost"] == 4
    copies = double.what("cudaMemcpyAsync")[-4:]
    assert copies[0] == (batch.nbytes, "cudaMemcpyHostToDevice", 4242)
    assert [(size, kind) for size, kind, _ in copies[1:]] == [
        (4 * 9 * width, "cudaMemcpyDeviceToHost") for width in (8, 2, 16)
    ]
    assert double.count["cudaStreamSynchronize"] == 5


def test_memory_is_given_back(make: Use, double: Double) -> None:
    engine = make()
    engine.run(crops(2))
    assert len(double.held) == 8
    del engine
    gc.collect()
    assert double.held == {}
    assert double.count["cudaStreamDestroy"] == 1


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (np.zeros((1, 6, 6, 3), np.float32), "float32"),
        (np.zeros((1, 6, 7, 3), np.uint8), r"\(1, 6, 7, 3\).*6x6x3"),
        (np.zeros((6, 6, 3), np.uint8), r"\(6, 6, 3\)"),
        (np.zeros((0, 6, 6, 3), np.uint8), "one or more"),
    ],
)
def test_a_batch_of_another_kind_is_refused(make: Use, batch: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make().run(batch)


@pytest.mark.parametrize(("call", "words"), [("cudaMalloc", "out of memory"), ("execute_async_v3", "could not run")])
def test_after_a_failure_it_runs_again(make: Use, double: Double, call: str, words: str) -> None:
    engine, batch = make(), crops(2)
    double.fail[call] = 1
    with pytest.raises(EngineUnavailable, match=words):
        engine.run(batch)
    check(engine.run(batch), batch)


def test_threads_take_turns(make: Use) -> None:
    engine = make()

    def work(i: int) -> None:
        for turn in range(15):
            batch = crops(1 + (i + turn) % 20, seed=100 * i + turn)
            check(engine.run(batch), batch)

    together(6, work)


def together(count: int, work: Callable[[int], object]) -> None:
    """``work(i)`` in ``count`` threads at once; raises what one of them raised."""
    errors: list[BaseException] = []

    def guarded(i: int) -> None:
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


# NVIDIA's own parser and builder, of TensorRT for RTX, which plan without a GPU


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


# ONNX Runtime's TensorRT provider


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
