"""The processor, and how many of its cores this process may use."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def usable_cores() -> float:
    """How many cores the process may use: limited by its affinity and by the quota of a container or service, which may
    be a fraction of a core."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    group = next((line[3:] for line in read("proc/self/cgroup").splitlines() if line.startswith("0::")), "/")
    places = [place.strip("/") for place in (group, *map(str, PurePosixPath(group).parents), "/")]
    quotas = [read(f"sys/fs/cgroup/{place}/cpu.max").split() for place in dict.fromkeys(places)]
    quotas.append([read(f"sys/fs/cgroup/cpu/cpu.cfs_{name}_us") for name in ("quota", "period")])  # of cgroups v1
    known = [int(pair[0]) / int(pair[1]) for pair in quotas if len(pair) == 2 and all(map(str.isdigit, pair))]
    return min([count, *known])


def model_threads() -> int:
    """Default number of threads for a model: all cores but one, which decodes frames and searches for faces."""
    return max(1, int(usable_cores()) - 1)


def read(path: str) -> str:
    """A system file as text; empty if it does not exist."""
    with suppress(OSError):
        return (ROOT / path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    return ""


def features() -> set[str]:
    """The processor's features by Linux's names; empty if the system does not list them."""
    lines = (line.partition(":") for line in read("proc/cpuinfo").splitlines())
    return {name for key, _, value in lines if key.strip() in ("flags", "Features") for name in value.split()}


def int8_overflows() -> bool:
    """Whether products of 8 bits are added in 16 here, and overflow: on x86 without VNNI."""
    return "avx2" in features() and not {"avx512_vnni", "avx_vnni", "amx_int8"} & features()


def processor() -> str:
    """The processor's name."""
    for line in read("proc/cpuinfo").splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
