"""The stages sum to the whole time, and a tiling shows as many faces as it says."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.speed import pipeline
from mien import Recognizer
from mien.types import Image


@pytest.fixture(scope="module")
def clip(portrait: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "one.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (480, 270))
    for _ in range(6):
        writer.write(np.ascontiguousarray(portrait[:270, 16:496]))
    writer.release()
    return path


@pytest.mark.parametrize("faces", [1, 3])
def test_the_stages_sum_to_the_time(clip: Path, faces: int, tmp_path: Path, tiny_bundle: Path) -> None:
    tiled = pipeline.tile(clip, tmp_path / "tiled.mp4", (faces, 360), 4)
    recognizer = Recognizer(tiny_bundle, device="cpu")
    start = time.perf_counter()
    made = pipeline.run(recognizer, tiled, tmp_path)
    whole = time.perf_counter() - start
    assert made["frames"] == 4
    assert made["faces"] == 4 * faces
    spent = [made[stage] for stage in pipeline.STAGES]
    assert min(spent) >= 0
    assert 0.3 * whole < sum(spent) < whole  # opening and closing are not frames
    row = pipeline.figures([made], (faces, 360))
    assert row["ms a frame"]["total"] == pytest.approx(1e3 * sum(spent) / 4, abs=0.01)
    assert 0 < row["share with encoding"] < row["share of align, smooth, draw and write, encoding aside"] < 1
    assert row["size"] == "640x360"
