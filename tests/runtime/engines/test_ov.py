"""OpenVINO gives what ONNX Runtime gives, from any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino")

from tiny_card import change

from mien.bundle import FILES, IR_FILES, find_bundle
from mien.engines import load_engine
from mien.engines.golden import golden_crops
from mien.engines.ort import OrtEngine
from mien.engines.ov import OvEngine
from mien.errors import InputError, ModelInvalid
from mien.recognizer import Recognizer
from mien.types import Image


@pytest.fixture(scope="module")
def student() -> OvEngine:
    return OvEngine(find_bundle().model_file(), threads=1)


@pytest.fixture(scope="module")
def crops() -> Image:
    """The golden pictures, and each darker and mirrored: 18."""
    made = golden_crops(find_bundle().card.crop.size)
    return np.concatenate([made, made // 3, made[:, :, ::-1]])


def test_it_agrees_with_onnx_runtime(student: OvEngine, crops: Image) -> None:
    reference = OrtEngine(find_bundle().model_file(), threads=1).run(crops)
    made = student.run(crops)
    assert set(made) == set(reference)
    for name, value in made.items():
        assert value.dtype == np.float32
        # The embedding is not bounded as the others are, so its scale has to be allowed for.
        np.testing.assert_allclose(value, reference[name], rtol=1e-5, atol=1e-5 if name != "embedding" else 1e-4)


def test_without_onnx_runtime_the_detector_runs_on_openvino_too(
    portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """YuNet's input has a free size, so here it is given anew; and a frame may be read-only."""
    reference = Recognizer(device="cpu", precision="fp32", threads=1)
    monkeypatch.setattr("mien.vision.detector.has_library", lambda device: device == "openvino")
    recognizer = Recognizer(device="openvino", precision="fp32", threads=1)
    assert recognizer.engine == "openvino/cpu fp32"
    assert recognizer._detector.engine.name == "openvino/cpu"
    still = portrait.copy()
    still.flags.writeable = False
    for frame in (still, portrait[:, 100:400], np.hstack([portrait, portrait])):
        made, expected = recognizer.predict(frame), reference.predict(frame)
        assert len(made) == len(expected) > 0
        for one, other in zip(made, expected, strict=True):
            np.testing.assert_allclose(one.box, other.box, atol=0.01)
            assert one.expression.label == other.expression.label
            assert one.expression.confidence == pytest.approx(other.expression.confidence, abs=1e-3)


def test_several_threads_at_once_get_their_own_answers(student: OvEngine, crops: Image) -> None:
    alone = [student.run(crops[i : i + 1])["expression"] for i in range(len(crops))]
    order = np.random.default_rng(0).permutation(np.tile(np.arange(len(crops)), 12))
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda i: student.run(crops[i : i + 1])["expression"], order))
    for i, value in zip(order, made, strict=True):
        np.testing.assert_allclose(value, alone[i], atol=1e-6)


def test_outputs_survive_the_next_call(student: OvEngine, crops: Image) -> None:
    first = student.run(crops[:1])
    before = {name: value.copy() for name, value in first.items()}
    student.run(crops[5:6])
    for name, value in first.items():
        np.testing.assert_array_equal(value, before[name])
        assert value.flags.owndata
        assert value.flags.writeable


def test_the_batch_is_neither_kept_nor_changed(student: OvEngine, crops: Image) -> None:
    batch = crops[:2].copy()
    expected = student.run(batch)["expression"]
    batch[:] = 0
    np.testing.assert_array_equal(student.run(crops[:2])["expression"], expected)
    np.testing.assert_array_equal(batch, 0)


def test_batches_of_any_size_and_views(student: OvEngine, crops: Image) -> None:
    expected = student.run(crops)["expression"]
    for chosen in (slice(0, 1), slice(0, 7), slice(None, None, -3)):
        np.testing.assert_allclose(student.run(crops[chosen])["expression"], expected[chosen], atol=1e-5)
    view = np.ascontiguousarray(crops[:, :, ::-1])[:, :, ::-1]
    view.flags.writeable = False
    np.testing.assert_allclose(student.run(view)["expression"], expected, atol=1e-5)
    still = crops[:1].copy()
    still.flags.writeable = False
    np.testing.assert_allclose(student.run(still)["expression"], expected[:1], atol=1e-5)


@pytest.mark.parametrize("threads", [0, -3])
def test_no_threads_is_bad_input(threads: int) -> None:
    with pytest.raises(InputError, match="use a whole number from 1"):
        OvEngine(find_bundle().model_file(), threads=threads)


def test_the_number_of_threads_reaches_openvino() -> None:
    for threads in (1, 2):
        engine = OvEngine(find_bundle().model_file(), threads=threads)
        assert engine._compiled()[0].get_property("INFERENCE_NUM_THREADS") == threads


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x09" * 50])
def test_a_broken_file_is_invalid(tmp_path: Path, data: bytes) -> None:
    for name in (FILES["fp32"], IR_FILES["fp32"]):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelInvalid, match=name):
            OvEngine(tmp_path / name)
    with pytest.raises(ModelInvalid, match=r"none\.onnx"):
        OvEngine(tmp_path / "none.onnx")


def test_a_file_cut_short_is_invalid(tmp_path: Path) -> None:
    data = find_bundle().model_file().read_bytes()
    (tmp_path / "model.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelInvalid):
        OvEngine(tmp_path / "model.onnx")


def test_openvinos_own_form_is_used_where_the_bundle_holds_it(tiny_bundle: Path, bundle_copy: Path) -> None:
    import openvino as ov

    xml = bundle_copy / IR_FILES["fp32"]
    ov.save_model(ov.Core().read_model(bundle_copy / FILES["fp32"]), xml, compress_to_fp16=False)
    change(bundle_copy, {path.name: path.read_bytes() for path in (xml, xml.with_suffix(".bin"))})
    bundle, batch = find_bundle(bundle_copy), golden_crops(112)
    assert bundle.model_file("fp32", "openvino") == xml
    assert bundle.model_file("fp32", "cpu").name == FILES["fp32"]
    made = load_engine(bundle.model_file("fp32", "openvino"), device="openvino", threads=1).run(batch)
    expected = load_engine(find_bundle(tiny_bundle).model_file(), threads=1).run(batch)
    for name, value in expected.items():
        np.testing.assert_allclose(made[name], value, atol=1e-5)
    xml.with_suffix(".bin").unlink()
    with pytest.raises(ModelInvalid, match="missing"):
        bundle.model_file("fp32", "openvino")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_signal_after_engines_were_let_go_is_handled() -> None:
    """OpenVINO's cores lay signal stacks: with one for each engine, Ctrl-C crashed a process that had dropped two."""
    code = (
        "import gc, signal, numpy as np; from mien.bundle import find_bundle; from mien.engines import load_engine\n"
        "path = find_bundle().model_file('fp32')\n"
        "engines = [load_engine(path, device='openvino', threads=1) for _ in range(2)]\n"
        "del engines[0]; gc.collect(); engines.clear(); gc.collect()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('handled')); signal.raise_signal(signal.SIGINT)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "handled\n"), result.stderr
