"""Small clips and faces for the tests of the runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.cli import parse_args, run
from mien.sources.base import Source
from mien.sources.factory import open_source
from mien.types import Affect, Expression, Face, Image

ClipMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def make_clip(portrait: Image) -> ClipMaker:
    """``make_clip(path, frames=.., size=.., fps=..)`` writes a video in which the portrait moves from side to side."""

    def make(path: Path, *, frames: int = 12, size: tuple[int, int] = (320, 180), fps: float = 25.0) -> Path:
        codec, backend = ("MJPG", cv2.CAP_OPENCV_MJPEG) if path.suffix == ".avi" else ("mp4v", cv2.CAP_FFMPEG)
        writer = cv2.VideoWriter(str(path), backend, cv2.VideoWriter.fourcc(*codec), fps, size)
        assert writer.isOpened()
        side = size[1]
        person = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
        for i in range(frames):
            image = np.full((size[1], size[0], 3), 90, dtype=np.uint8)
            left = (i * 5) % (size[0] - side)
            image[:, left : left + side] = person
            writer.write(image)
        writer.release()
        return path

    return make


@pytest.fixture
def fer_run(tiny_bundle: Path) -> Callable[..., int]:
    """``fer_run("--demo")`` -> exit code, with the tiny bundle on the processor."""

    def call(*args: object) -> int:
        return run(parse_args([*map(str, args), "--model", str(tiny_bundle), "--threads", "1", "--device", "cpu"]))

    return call


@pytest.fixture
def picture(tmp_path: Path, portrait: Image) -> Source:
    """The portrait as a source of one picture."""
    cv2.imwrite(str(tmp_path / "portrait.png"), portrait)
    return open_source(tmp_path / "portrait.png")


@pytest.fixture
def make_face() -> Callable[..., Face]:
    def make(box: tuple[float, float, float, float], label: str = "happiness", *, landmarks: bool = True) -> Face:
        x1, y1, x2, y2 = box
        grid = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
        points = (np.array([x1, y1]) + grid * [x2 - x1, y2 - y1]).astype(np.float32) if landmarks else None
        probabilities = {"happiness": 0.75, "neutral": 0.25} | ({label: 0.9} if label != "happiness" else {})
        return Face(
            np.array(box, dtype=np.float32),
            points,
            0.93,
            Expression(label, 0.75, probabilities),
            Affect(0.5, -0.25),
            np.zeros(4, dtype=np.float32),
        )

    return make
