"""fer-doctor's report of a healthy machine, in text and JSON, and of what was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from doctor_runs import Doctor, fresh, texts

from mien.cli.doctor import parse_args, run
from mien.files import cache_folder

ort = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("empty_cache")
SECTIONS = ["machine", "libraries", "bundle", "auto", "ways", "predict"]


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
        pytest.skip("this asks for CUDA where there is none, and it is installed")
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
