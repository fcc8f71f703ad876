"""What fer-doctor tells of a Jetson's power mode and clocks, from made-up files and a made-up nvpmodel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mien.engines.cores
from mien.diagnostics.jetson import clocks, is_jetson, power_mode
from mien.diagnostics.machine import machine

CONF = """# Orin Nano
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=25W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< PM_CONFIG DEFAULT=1 >
"""
POLICY = "sys/devices/system/cpu/cpufreq/policy"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mien.engines.cores, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    put(tmp_path, {"etc/nv_tegra_release": "# R36 (release), REVISION: 4.3\n"})
    return tmp_path


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def tool(root: Path, script: str) -> None:
    put(root, {"bin/nvpmodel": f"#!/bin/sh\n{script}\n"})
    (root / "bin/nvpmodel").chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
@pytest.mark.parametrize("before", ["", "echo 'NVPM VERB: Config file: /etc/nvpmodel.conf';"])
def test_the_mode_that_nvpmodel_tells(root: Path, before: str) -> None:
    put(root, {"etc/nvpmodel.conf": CONF, "var/lib/nvpmodel/status": "pmode:0000"})
    tool(root, f"{before} echo 'NV Power Mode: 25W'; echo 1")
    assert power_mode() == "25W (1); others: 15W (0), MAXN_SUPER (2); sudo nvpmodel -m NUMBER changes it"


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
@pytest.mark.parametrize("script", ["echo 'NVPM ERROR: no permission'; exit 255", "echo nothing of use"])
def test_its_files_where_it_fails(root: Path, script: str) -> None:
    put(root, {"etc/nvpmodel.conf": CONF, "var/lib/nvpmodel/status": "pmode:0002 fmode:cool\n"})
    tool(root, script)
    assert power_mode().startswith("MAXN_SUPER (2); others: 15W (0), 25W (1)")


def test_a_mode_without_names(root: Path) -> None:
    put(root, {"var/lib/nvpmodel/status": "pmode:0000"})
    assert power_mode() == "of unknown name (0)"


def test_a_container_that_shows_nothing(root: Path) -> None:
    assert "not known: nvpmodel is not here" in power_mode()
    assert clocks() == {}


def test_clocks_that_vary_and_clocks_that_are_held(root: Path) -> None:
    put(root, {f"{POLICY}{n}/scaling_{name}_freq": value for n in (0, 4)
               for name, value in (("min", "729600"), ("max", "1510400"), ("cur", "883200"))})  # fmt: skip
    gpu = "sys/class/devfreq/17000000.gpu"
    put(root, {f"{gpu}/{name}_freq": "624750000" for name in ("min", "max", "cur")})
    put(root, {f"sys/class/devfreq/15340000.vic/{name}_freq": "1" for name in ("min", "max")})
    assert clocks() == {
        "cpu": "730 to 1510 MHz, now 883, not held: sudo jetson_clocks, before measuring",
        "gpu": "held at 625 MHz",
    }


def test_files_without_sense_are_left_out(root: Path) -> None:
    put(root, {f"{POLICY}0/scaling_min_freq": "<unknown>", f"{POLICY}0/scaling_max_freq": "1510400"})
    assert clocks() == {}


@pytest.mark.parametrize(
    ("files", "there"),
    [
        ({"proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0"}, True),
        ({"proc/device-tree/compatible": "raspberrypi,5-model-b\0"}, False),
        ({}, False),
    ],
)
def test_only_a_jetson_has_these_facts(root: Path, files: dict[str, str], there: bool) -> None:
    (root / "etc/nv_tegra_release").unlink()
    put(root, files)
    assert is_jetson() is there
    assert ({"power_mode", "clocks"} <= set(machine())) is there
