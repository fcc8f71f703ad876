"""What fer-doctor tells of a machine: of a Jetson, of NVIDIA's GPUs, and of a system that shows nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from doctor_runs import Doctor

import mien.diagnostics.machine
import mien.engines.cores

pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("empty_cache")


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
