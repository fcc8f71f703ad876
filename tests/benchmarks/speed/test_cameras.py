"""Both ways through several clips read the same frames, and clips that are played as cameras end in time."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.speed import cameras
from mien import Recognizer
from mien.types import Image


@pytest.fixture
def clip(portrait: Image, tmp_path: Path) -> Path:
    path = tmp_path / "one.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (480, 270))
    for _ in range(6):
        writer.write(np.ascontiguousarray(portrait[:270, 16:496]))
    writer.release()
    return path


def test_all_ways_read_all_frames(clip: Path, tiny_bundle: Path) -> None:
    recognizer = Recognizer(tiny_bundle, device="cpu")
    job = {"clip": str(clip), "count": 3}
    alone = cameras.one_by_one(recognizer, job)
    assert cameras.at_once(recognizer, job)["frames"] == alone["frames"] == 18
    assert 0 < alone["engine"] < alone["busy"]
    start = time.monotonic()
    told = [cameras.at_once(recognizer, job | {"seconds": 1.0})]
    assert 0.9 < time.monotonic() - start < 10
    assert told[0]["frames"] == len(told[0]["latencies"]) >= 3
    row = cameras.as_cameras(told, 1.0)
    assert row["frames a second"] == told[0]["frames"]
    median, most = row["latency in ms, median and 95 %"]
    assert 0 < median <= most
