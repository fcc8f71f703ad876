"""How many cores may be used, and whether they are busy with something else."""

from __future__ import annotations

from pathlib import Path

import pytest

import mien.engines.cores
from mien.bench.timing import doubts

pytest.importorskip("onnxruntime")


def test_doubts() -> None:
    assert doubts(4, 4.0, 1.9) == doubts(4, 4.0, None) == []
    (busy,) = doubts(4, 4.0, 2.1)
    assert "load 2.1 on 4 cores" in busy
    (few,) = doubts(4, 1.5, 0.0)
    assert "only 1.5 of 4 cores" in few


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"proc/self/cgroup": "0::/a.slice/b.service\n", "sys/fs/cgroup/a.slice/cpu.max": "25000 100000"}, 0.25),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "70000 100000"}, 0.7),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "40000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 0.4),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
        ({"sys/fs/cgroup/cpu.max": "nonsense"}, None),
    ],
)
def test_usable_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], cores: float | None
) -> None:
    free = mien.engines.cores.usable_cores()
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(mien.engines.cores, "ROOT", tmp_path)
    assert mien.engines.cores.usable_cores() == (cores if cores is not None else max(free, 1.0))
