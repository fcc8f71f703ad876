"""Frames of a live source: always the newest, each once, at times that wild stamps do not bend."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice, pairwise

import pytest
from scripted_camera import Camera, gray, level
from waiting import wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_always_the_newest_frame_and_the_rest_is_counted() -> None:
    go, end = threading.Event(), threading.Event()
    camera = Camera([gray(1), go, *map(gray, range(2, 50)), end])
    with camera.live() as source:
        frames = iter(source)
        assert level(next(frames)) == 1
        assert (source.kind, source.fps, source.size, source.count) == ("live", 25.0, (8, 6), None)
        go.set()  # then 49 frames come while the one that iterates is at work
        wait_for(lambda: source._inbox.dropped == 48)
        frame = next(frames)
        assert (level(frame), frame.index, source.dropped) == (49, 1, 48)
        end.set()
    assert camera.released == 1


def test_each_frame_once_and_waits_for_the_next() -> None:
    with Camera(map(gray, range(200)), pace=0.003).live() as source:
        levels = [level(frame) for frame in islice(source, 60)]
    assert all(a < b for a, b in pairwise(levels))
    assert source.state == "ended"


def test_what_came_before_the_iteration_was_not_dropped() -> None:
    hang = threading.Event()
    with Camera([*map(gray, range(30)), hang]).live() as source:
        wait_for(lambda: source._inbox.dropped == 29)
        frame = next(iter(source))
        assert (level(frame), frame.time, frame.index, source.dropped) == (29, 0.0, 0, 0)
        hang.set()


@pytest.mark.parametrize(
    "stamps", [[0.0] * 40, [float("nan")] * 40, list(range(40, 0, -1)), [i * 1e5 for i in range(40)]]
)
def test_wild_stamps_do_not_bend_the_time(stamps: Sequence[float]) -> None:
    with Camera([(gray(i), stamp) for i, stamp in enumerate(stamps)], pace=0.005).live() as source:
        frames = list(islice(source, 30))
    steps = [b.time - a.time for a, b in pairwise(frames)]
    assert all(0.001 <= step < 0.5 for step in steps)
