"""How fast a Jetson is allowed to be: its power mode and the clocks of its processor and GPU."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from mien.engines import cores
from mien.engines.cores import read

GPU = re.compile(r"\.(gpu|gv11b|gp10b|ga10b|gm20b|gb10b)$|^gpu")
"""Names of a Jetson's GPU among the devices with a clock."""


def is_jetson() -> bool:
    """Whether this is a Jetson, or a container on one."""
    return bool(read("etc/nv_tegra_release")) or "nvidia,tegra" in read("proc/device-tree/compatible")


def power_mode() -> str:
    """The mode that ``nvpmodel`` set, and the others that the board has; from its own files where it cannot be run."""
    number, name = _asked() or (_stored(), "")
    modes = dict(re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", read("etc/nvpmodel.conf")))
    name = name or modes.get(number, "")
    if not number and not name:
        return "not known: nvpmodel is not here, as in most containers; run nvpmodel -q on the board itself"
    others = ", ".join(f"{other} ({key})" for key, other in modes.items() if key != number)
    more = f"; others: {others}; sudo nvpmodel -m NUMBER changes it" if others else ""
    return f"{name or 'of unknown name'} ({number or 'no number'}){more}"


def clocks() -> dict[str, str]:
    """The present and possible clocks of processor and GPU. ``jetson_clocks`` holds them at the highest."""
    root = cores.ROOT / "sys"
    found = {}
    for name, folders, unit in (
        ("cpu", sorted(root.glob("devices/system/cpu/cpufreq/policy*")), 1e3),  # kHz
        ("gpu", [path for path in sorted(root.glob("class/devfreq/*")) if GPU.search(path.name)], 1e6),  # Hz
    ):
        ranges = dict.fromkeys(filter(None, (_clock(folder, unit) for folder in folders)))
        if ranges:
            found[name] = "; ".join(ranges)
    return found


def _clock(folder: Path, unit: float) -> str | None:
    """One range of clocks in words; None if the system does not tell. ``unit``: steps in a MHz."""
    prefix = "scaling_" if "cpufreq" in folder.parts else ""
    least, most, now = (_number(folder / f"{prefix}{name}_freq") for name in ("min", "max", "cur"))
    if least is None or most is None:
        return None
    if least == most:
        return f"held at {most / unit:.0f} MHz"
    present = "" if now is None else f", now {now / unit:.0f}"
    return f"{least / unit:.0f} to {most / unit:.0f} MHz{present}, not held: sudo jetson_clocks, before measuring"


def _number(path: Path) -> int | None:
    text = read(str(path.relative_to(cores.ROOT)))
    return int(text) if text.isdigit() else None


def _asked() -> tuple[str, str] | None:
    """Number and name of the mode according to ``nvpmodel -q``; None without it, or where it fails."""
    tool = shutil.which("nvpmodel")
    if tool is None:
        return None
    try:
        done = subprocess.run([tool, "-q"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    name = re.search(r"NV Power Mode:\s*(\S+)", done.stdout)
    number = _last_number(done.stdout.splitlines())
    return (number, name[1]) if done.returncode == 0 and name else None


def _last_number(lines: Iterable[str]) -> str:
    numbers = [line.strip() for line in lines if line.strip().isdigit()]
    return numbers[-1] if numbers else ""


def _stored() -> str:
    """The number that nvpmodel keeps for the next start."""
    found = re.search(r"pmode:(\d+)", read("var/lib/nvpmodel/status"))
    return str(int(found[1])) if found else ""
