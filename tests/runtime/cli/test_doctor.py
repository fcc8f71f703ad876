"""fer-doctor tells what is there, what works and what to do about the rest, on whole machines and on broken ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_card import add_golden, change

import mien.diagnostics.machine
import mien.diagnostics.selftest
import mien.engines.cores
import mien.engines.selection
import mien.packages
from mien.bundle import FILES
from mien.cli.doctor import parse_args, run
from mien.engines import has_library
from mien.engines.selection import Backend
from mien.files import cache_folder
from mien.types import Floats, Image

ort = pytest.importorskip("onnxruntime")

Doctor = Callable[..., tuple[int, Any]]
SECTIONS = ["machine", "libraries", "bundle", "auto", "ways", "predict"]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def bundle(bundle_copy: Path) -> Path:
    return add_golden(bundle_copy)


@pytest.fixture
def doctor(bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """``doctor("--device", "cpu")`` -> exit code and report."""
    monkeypatch.setattr(mien.diagnostics.selftest, "ROUNDS", 2)
    monkeypatch.setattr(mien.engines.selection, "CALLS", 1)

    def call(*args: str) -> tuple[int, Any]:
        code = run(parse_args(["--threads", "1", "--model", str(bundle), "--json", *args]))
        return code, json.loads(capsys.readouterr().out, parse_constant=pytest.fail)

    return call


def texts(report: Any, serious: bool) -> list[str]:
    return [problem["text"] for problem in report["problems"] if problem["serious"] == serious]


def fresh(code: str, *args: str, libraries: Path | None = None) -> subprocess.CompletedProcess[str]:
    """fer-doctor in a process of its own, in which ``code`` runs first. ``libraries``: a folder of broken ones."""
    folders = filter(None, (str(libraries or ""), os.environ.get("PYTHONPATH")))
    path = {"PYTHONPATH": os.pathsep.join(folders)}
    command = [
        sys.executable,
        "-c",
        f"{code}\nfrom mien.cli.programs import fer_doctor; fer_doctor()",
        "--threads",
        "1",
        *args,
    ]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | path, timeout=600, check=False)


@pytest.mark.parametrize("args", [["--threads", "0"], ["--threads", "two"], ["--device", "abacus"], ["--fast"], ["x"]])
def test_bad_usage_is_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_args(args)
    assert caught.value.code == 2
    assert "fer-doctor: error:" in capsys.readouterr().err


def test_the_packaged_bundle_is_healthy() -> None:
    done = fresh("")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"mien {version('mien')}"
    assert [line for line in lines if line in SECTIONS] == SECTIONS
    assert lines[-1].startswith("healthy")
    assert "packaged as student" in done.stdout
    assert "happiness" in done.stdout
    assert "512x512 portrait" in done.stdout


def test_json_has_the_same_content(doctor: Doctor, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = doctor()
    assert code == 0
    assert [name for name in report if name in SECTIONS] == SECTIONS
    assert (report["mien"], report["healthy"], texts(report, True)) == (version("mien"), True, [])
    assert run(parse_args(["--threads", "1", "--model", str(bundle)])) == 0
    text = capsys.readouterr().out
    for name in SECTIONS[:4] + SECTIONS[5:]:
        for fact in report[name]:
            assert f"\n  {fact.replace('_', ' ')} " in text, fact
    for way, facts in report["ways"].items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"  {way} "))
        assert facts["engine"] in line
        assert "golden outputs: agrees (expression " in line
    assert f"onnxruntime            {ort.__version__}\n" in text


def test_what_the_machine_has(doctor: Doctor) -> None:
    _, report = doctor()
    machine, libraries = report["machine"], report["libraries"]
    assert machine["python"].startswith(sys.version.split()[0])
    assert machine["cores"] == os.cpu_count()
    assert 0 < machine["usable_cores"] <= machine["cores"]
    assert machine["processor"]
    assert not any("not known" in str(value) for value in machine.values())
    assert libraries["numpy"] == np.__version__
    assert libraries["onnxruntime_providers"] == ort.get_available_providers()
    assert libraries["gstreamer"] is ("GSTREAMER" in libraries["video_backends"])


def test_auto_and_every_way_that_runs(doctor: Doctor) -> None:
    _, report = doctor()
    auto = report["auto"]
    assert set(auto) == {"way", "why", "milliseconds", "refused"}
    assert auto["way"] in report["ways"]
    assert set(report["ways"]) >= set(auto["milliseconds"])
    assert not set(report["ways"]) & set(auto["refused"])
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        assert "no CUDAExecutionProvider" in auto["refused"]["cuda fp32"]
    for facts in report["ways"].values():
        assert facts["golden"] == "agrees"
        assert max(facts["differences"].values()) < 1e-3
        assert facts["milliseconds"] > 0
    assert report["predict"]["engine"].endswith(" fp32")
    assert len(report["predict"]["faces"]) == 1


def test_what_is_asked_for_runs_where_it_says(doctor: Doctor) -> None:
    code, report = doctor("--device", "cpu", "--precision", "fp32")
    assert code == 0
    assert report["asked"]["way"] == "cpu fp32"
    assert set(report["ways"]["cpu fp32"]["nodes"]) == {"CPUExecutionProvider"}
    assert report["predict"]["engine"] == "onnxruntime/cpu fp32"


@pytest.mark.parametrize(
    ("args", "way", "message"),
    [
        (["--device", "cuda", "--precision", "fp32"], "cuda fp32", r'pip install "mien[gpu]"'),
        (["--device", "cpu", "--precision", "int8"], "cpu int8", "has no int8 model"),
    ],
)
def test_what_is_asked_for_and_cannot_be_had_is_1(doctor: Doctor, args: list[str], way: str, message: str) -> None:
    if "cuda" in args and "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("CUDA is there")
    code, report = doctor(*args)
    assert code == 1
    assert message in report["ways"][way]["fails"]
    assert len(texts(report, True)) == 1
    assert message in texts(report, True)[0]
    assert "fails" not in report["ways"][report["auto"]["way"]]


def test_a_precision_that_no_device_has_is_1(doctor: Doctor) -> None:
    code, report = doctor("--precision", "int8")
    assert code == 1
    assert "has no int8 model" in texts(report, True)[0]


def test_what_is_remembered_and_fresh(doctor: Doctor) -> None:
    _, report = doctor()
    assert report["auto"]["milliseconds"]
    (kept,) = (cache_folder() / "choices").iterdir()
    made = json.loads(kept.read_text())
    kept.write_text(json.dumps(made | {"times": dict.fromkeys(made["times"], 777.0)}))
    assert set(doctor()[1]["auto"]["milliseconds"].values()) == {777.0}
    assert 777.0 not in doctor("--fresh")[1]["auto"]["milliseconds"].values()
    assert 777.0 not in doctor()[1]["auto"]["milliseconds"].values()


def test_no_engine() -> None:
    done = fresh("import sys; sys.modules |= dict.fromkeys(('onnxruntime', 'openvino', 'tensorrt'))")
    assert (done.returncode, done.stderr) == (1, "")
    assert 'no inference engine is installed; run: pip install "mien[cpu]"' in done.stdout
    assert "numpy  " in done.stdout
    assert "not healthy, 1 error" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("failure", ["raise ImportError('libtbb.so is missing')", "raise RuntimeError('no AVX')", ""])
def test_a_broken_openvino_is_a_warning_until_it_is_asked_for(tmp_path: Path, bundle: Path, failure: str) -> None:
    (tmp_path / "broken" / "openvino").mkdir(parents=True)
    (tmp_path / "broken" / "openvino" / "__init__.py").write_text(failure)
    done = fresh("", "--model", str(bundle), libraries=tmp_path / "broken")
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning: openvino is installed, but does not work" in done.stdout
    assert 'pip install --force-reinstall "mien[openvino]"' in done.stdout
    assert "way           cpu fp32" in done.stdout
    assert done.stdout.splitlines()[-1] == "healthy, 1 warning"
    done = fresh("", "--model", str(bundle), "--device", "openvino", libraries=tmp_path / "broken")
    assert (done.returncode, done.stderr) == (1, "")
    assert "openvino fp32  fails: " in done.stdout


def test_what_remains_of_two_onnxruntimes(tmp_path: Path, bundle: Path) -> None:
    """Uninstalling one of them leaves an empty package, which imports and holds nothing."""
    (tmp_path / "broken" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "broken" / "onnxruntime" / "__init__.py").touch()
    done = fresh("", "--model", str(bundle), libraries=tmp_path / "broken")
    assert done.stderr == ""
    assert "onnxruntime is installed, but does not work (AttributeError" in done.stdout
    assert "run: pip uninstall -y onnxruntime" in done.stdout
    assert "auto" in done.stdout.splitlines() or not has_library("openvino")


@pytest.mark.parametrize(
    ("packages", "remedy"),
    [
        (("onnxruntime", "onnxruntime-gpu"), 'onnxruntime onnxruntime-gpu && pip install "mien[cpu]" (or "mien[gpu]")'),
        (
            ("opencv-python", "opencv-contrib-python-headless"),
            "opencv-python opencv-contrib-python-headless && pip install opencv-python-headless",
        ),
    ],
)
def test_two_packages_of_one_module_are_a_warning(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...], remedy: str
) -> None:
    def only(name: str) -> str:
        if name not in packages:
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(mien.packages, "version", only)
    code, report = doctor()
    assert code == 0
    (text,) = texts(report, False)
    assert f"run: pip uninstall -y {remedy}" in text
    monkeypatch.setattr(mien.packages, "version", lambda name: only(name) if name == packages[0] else only(""))
    assert texts(doctor()[1], False) == []


def test_a_corrupt_bundle(doctor: Doctor, bundle: Path) -> None:
    (bundle / FILES["fp32"]).write_bytes(b"altered")
    code, report = doctor()
    assert code == 1
    assert report["bundle"]["files"][FILES["fp32"]] == "does not match its card"
    assert "export or copy the bundle again" in texts(report, True)[0]
    change(bundle, {FILES["fp32"]: b"broken before it was packed"})
    code, report = doctor()
    assert code == 1
    assert "matches its card" in report["bundle"]["files"][FILES["fp32"]]
    assert any("cannot load" in text for text in texts(report, True))
    (bundle / "card.json").write_text("{")
    code, report = doctor()
    assert code == 1
    assert "not valid JSON" in texts(report, True)[0]
    assert "libraries" in report
    (bundle / "card.json").unlink()
    assert doctor()[0] == 1


def test_a_model_that_does_not_exist(doctor: Doctor, tmp_path: Path) -> None:
    code, report = doctor("--model", str(tmp_path / "none"))
    assert code == 1
    assert "no model" in texts(report, True)[0]


def test_wrong_answers_are_1(doctor: Doctor, bundle: Path) -> None:
    add_golden(bundle, shift=0.01)
    code, report = doctor()
    assert code == 1
    assert all(facts["golden"] == "differs" for facts in report["ways"].values())
    assert len(texts(report, True)) == len(report["ways"])
    assert "cpu fp32 on onnxruntime/cpu differs from the golden outputs: expression " in texts(report, True)[0]
    assert ", affect 0.01 (limits 0.001 and 0.002)" in texts(report, True)[0]


def test_a_broken_golden_file_is_1(doctor: Doctor, bundle: Path) -> None:
    change(bundle, {"golden.json": b"{"})
    code, report = doctor()
    assert code == 1
    assert all("golden outputs" in text for text in texts(report, True))


def test_without_golden_outputs_it_says_so(doctor: Doctor, tiny_bundle: Path) -> None:
    code, report = doctor("--model", str(tiny_bundle))
    assert code == 0
    assert report["bundle"]["golden_outputs"] is False
    assert "export it again" in report["ways"]["cpu fp32"]["golden"]


def with_int8(bundle: Path, passed: bool | None) -> Path:
    proofs = {} if passed is None else {"int8": {"passed": passed}}
    return change(bundle, {FILES["int8"]: (bundle / FILES["fp32"]).read_bytes()}, proofs=proofs)


def spoil(monkeypatch: pytest.MonkeyPatch, precision: str, change: Callable[[Floats], Floats]) -> None:
    """Every engine of a precision gives other valences and arousals."""
    original = mien.diagnostics.selftest.open_backend

    def open_backend(bundle: Any, way: Backend, threads: int | None) -> Any:
        engine = original(bundle, way, threads)
        if way[1] == precision:
            right = engine.run

            def run(batch: Image) -> dict[str, Floats]:
                made = dict(right(batch))
                return made | {"affect": change(made["affect"])}

            engine.run = run
        return engine

    monkeypatch.setattr(mien.diagnostics.selftest, "open_backend", open_backend)


def test_int8_that_differs_is_named_and_no_error(doctor: Doctor, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_int8(bundle, passed=True)
    with monkeypatch.context() as patch:
        spoil(patch, "int8", lambda affect: affect + np.float32(0.25))
        code, report = doctor()
    assert code == 0
    assert report["ways"]["cpu int8"]["golden"] == report["ways"]["cpu fp32"]["golden"] == "agrees"
    spoil(monkeypatch, "int8", lambda affect: affect + np.float32(0.35))
    code, report = doctor()
    assert code == 0
    assert (report["ways"]["cpu int8"]["golden"], report["ways"]["cpu fp32"]["golden"]) == ("differs", "agrees")
    assert any("cpu int8 on onnxruntime/cpu differs" in text for text in texts(report, False))
    assert texts(report, True) == []


def test_a_way_that_nobody_needs_may_fail(doctor: Doctor, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Floats) -> Floats:
        raise RuntimeError("not on this processor")

    with_int8(bundle, passed=True)
    spoil(monkeypatch, "int8", fail)
    code, report = doctor("--device", "cpu", "--precision", "fp32")
    assert code == 0
    assert report["ways"]["cpu int8"] == {"fails": "RuntimeError: not on this processor"}
    assert "cpu int8: RuntimeError: not on this processor" in texts(report, False)
    code, report = doctor("--device", "cpu", "--precision", "int8")
    assert code == 1
    assert "cpu int8: RuntimeError: not on this processor" in texts(report, True)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_numbers_that_are_not_finite_are_an_error(
    doctor: Doctor, bundle: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    with_int8(bundle, passed=True)
    spoil(monkeypatch, precision, lambda affect: affect * np.float32("nan"))
    code, report = doctor()
    assert code == 1
    assert report["ways"][f"cpu {precision}"]["differences"]["affect"] == "not finite"


@pytest.mark.parametrize(
    ("passed", "proof", "tried"),
    [
        (True, "passed", True),
        (False, "did not pass, so auto does not take it", False),
        (None, "there is none, so auto does not take it", False),
    ],
)
def test_proofs(doctor: Doctor, bundle: Path, passed: bool | None, proof: str, tried: bool) -> None:
    with_int8(bundle, passed)
    code, report = doctor()
    assert code == 0
    assert report["bundle"]["precisions"] == ["fp32", "int8"]
    assert report["bundle"]["proofs"] == {"int8": proof}
    assert ("cpu int8" in report["ways"]) is tried
    assert "cpu int8" in doctor("--precision", "int8", "--device", "cpu")[1]["ways"]


def test_without_scikit_image(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.sources.demo.find_spec", lambda _: None)
    code, report = doctor()
    assert code == 0
    assert "640x360 blank frame" in report["predict"]["picture"]
    assert "pip install scikit-image" in report["predict"]["picture"]
    assert report["predict"]["milliseconds"] > 0


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), OSError(28, "No space left"), KeyError("cls_8")])
def test_a_failing_predict_is_1(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(mien.diagnostics.selftest.Recognizer, "predict", fail)
    code, report = doctor()
    assert code == 1
    assert type(error).__name__ in report["predict"]["fails"]


def test_a_detector_that_finds_nothing_is_1(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mien.diagnostics.selftest.Recognizer, "predict", lambda *_: [])
    code, report = doctor()
    assert code == 1
    assert "no face was found" in texts(report, True)[0]


def test_a_system_that_shows_nothing(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No /proc and no os-release, and calls that fail."""

    def fail(*_: object) -> Any:
        raise OSError("not on this system")

    monkeypatch.setattr(mien.engines.cores, "ROOT", tmp_path / "nothing")
    monkeypatch.setattr(mien.diagnostics.machine.platform, "freedesktop_os_release", fail)
    monkeypatch.setattr(mien.diagnostics.machine.os, "sysconf", fail)
    monkeypatch.setattr(mien.diagnostics.machine.shutil, "which", lambda _: None)
    code, report = doctor()
    assert code == 0
    assert report["machine"]["features"] == "not known (no list in /proc/cpuinfo)"
    assert report["machine"]["memory"] == "not known (OSError: not on this system)"
    assert (report["machine"]["board"], report["machine"]["gpus"]) == (None, [])


def test_a_jetson(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in {
        "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd evtstrm aes asimdhp asimddp i8mm\n",
        "proc/meminfo": "MemTotal:        7990308 kB\nMemFree: 12 kB\nMemAvailable:    2000000 kB\n",
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano\0",
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3\nmore\n",
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module 540.4.0\nGCC\n",
        "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t Orin (nvgpu)\nIRQ: 1\n",
        "sys/fs/cgroup/cpu.max": "50000 100000\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(mien.engines.cores, "ROOT", tmp_path)
    monkeypatch.setattr(mien.diagnostics.machine.shutil, "which", lambda _: None)
    machine = mien.diagnostics.machine.machine()
    assert machine["features"] == ["asimd", "dotprod", "i8mm"]
    assert machine["board"] == "NVIDIA Jetson Orin Nano, # R36 (release), REVISION: 4.3"
    assert machine["memory"] == "8.2 GB, 2.0 GB available"
    assert machine["gpus"] == ["Orin (nvgpu)", "NVRM version: NVIDIA UNIX Open Kernel Module 540.4.0"]
    assert machine["usable_cores"] == 0.5


@pytest.mark.parametrize(
    ("script", "gpus"),
    [
        ("echo 'NVIDIA T4, 550.54, 15360 MiB'; echo; echo 'NVIDIA T4, 550.54, 15360 MiB'", 2),
        ("echo 'NVIDIA-SMI has failed because it could not'; echo 'talk to the driver'; exit 9", 1),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_nvidias_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, gpus: int) -> None:
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = mien.diagnostics.machine.machine()["gpus"]
    assert len(found) == gpus
    if gpus == 2:
        assert found == ["NVIDIA T4, 550.54, 15360 MiB"] * 2
    else:
        assert found == ["nvidia-smi fails: NVIDIA-SMI has failed because it could not talk to the driver"]
    (tmp_path / "nvidia-smi").write_text("not a program")
    assert "nvidia-smi" in str(mien.diagnostics.machine.machine()["gpus"]) or "not known" in str(
        mien.diagnostics.machine.machine()["gpus"]
    )


def test_a_reader_that_leaves_ends_it_quietly(bundle: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from mien.cli.programs import fer_doctor; fer_doctor()",
        "--threads",
        "1",
        "--model",
        str(bundle),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("mien ")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=600) == 0
