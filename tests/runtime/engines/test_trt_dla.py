"""TensorRT on the accelerators of a Jetson, the DLAs, against doubles of its module and CUDA's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from recording_cuda import Double
from toy_outputs import check, crops

from mien.errors import EngineUnavailable

Use = Callable[..., Any]


def test_dla(make: Use, double: Double) -> None:
    engine = make("dla:1")
    assert engine.name == "tensorrt/10.9/sm_87/dla:1/cuda-bindings"
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
