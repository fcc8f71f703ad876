"""Videos that are read from their middle on."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from mien.sources.factory import open_source
from mien.sources.timestamps import FileClock
from mien.sources.video import Video


def opened(path: Path) -> Video:
    source = open_source(path)
    assert isinstance(source, Video)
    return source


def variable_rate(path: Path) -> Path:
    """H.264 with B-frames, whose frames last 20 to 60 ms, and which begins late."""
    made: Any
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libx264", rate=1000, options={"g": "12", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        pts = 500
        for i in range(120):
            image = np.full((96, 160, 3), 40, np.uint8)
            cv2.circle(image, (20 + i, 40), 15, (30, 200, 2 * i), -1)
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            pts += 20 + 20 * (i % 3)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mkv", "variable.mp4"])
def test_frames_from_the_middle_are_those_of_the_whole_video(
    name: str, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / name
    path = variable_rate(path) if name == "variable.mp4" else make_clip(path, frames=120)
    whole = [(frame.time, frame.image.copy(), frame.index) for frame in opened(path)]
    for time in (0.5, 1.77, 3.0):
        source = opened(path)
        if not source.seek(time):
            pytest.skip(f"this OpenCV cannot seek in {name}")
        rest = [(frame.time, frame.image.copy(), frame.index) for frame in source]
        assert abs(rest[0][0] - time) < 0.7
        at = [found for found, _, _ in whole].index(rest[0][0])
        assert len(rest) == len(whole) - at
        for (time_a, image_a, index_a), (time_b, image_b, index_b) in zip(whole[at:], rest, strict=True):
            assert time_a == time_b
            assert np.array_equal(image_a, image_b)
            assert name == "variable.mp4" or index_a == index_b


def test_a_video_that_was_begun_is_not_moved(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    source = opened(make_clip(tmp_path / "clip.mp4"))
    frames = iter(source)
    next(frames)
    assert not source.seek(0.2)
    assert len(list(frames)) == 11


def test_a_clock_takes_a_leap_of_more_than_an_hour() -> None:
    whole, part = FileClock(0.04), FileClock(0.04)
    stamps = [0.1 + 0.04 * i for i in range(200_000)]
    times = [whole(stamp) for stamp in stamps]
    part(stamps[0])
    part.leap(stamps[150_000])
    assert [part(stamp) for stamp in stamps[150_000:]] == times[150_000:]
