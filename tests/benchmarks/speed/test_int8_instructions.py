"""OpenVINO held to smaller instruction sets: what the benchmark finds of exactness on any x86 with VNNI."""

from __future__ import annotations

import pytest

from benchmarks.speed.int8_instructions import held_to
from mien.engines.cores import features, int8_overflows

pytest.importorskip("openvino")


@pytest.mark.skipif("avx512_vnni" not in features() or int8_overflows(), reason="this processor has no VNNI")
def test_int8_is_used_with_vnni_and_refused_without() -> None:
    without, there = (held_to(name, "default", 2) for name in ("AVX512_CORE", "AVX512_CORE_VNNI"))
    assert (without["used"], there["used"]) == (False, True)
    assert without["largest difference of a probability"] > 2 * there["largest difference of a probability"]
