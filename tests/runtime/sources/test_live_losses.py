"""A live source that cannot be opened, hangs, or is lost and comes back."""

from __future__ import annotations

import threading
import time
from itertools import islice, pairwise
from typing import Any

import cv2
import pytest
from scripted_camera import Camera, gray, level
from waiting import wait_for

from mien.errors import SourceError
from mien.sources.live import MAX_ABANDONED, Patience

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_a_first_opening_that_fails_is_an_error_at_once() -> None:
    with pytest.raises(SourceError, match="unplugged"):
        Camera().live()
    with pytest.raises(SourceError, match="gives no frame"):
        Camera([]).live()
    with pytest.raises(SourceError, match="driver says no"):
        Camera([cv2.error("driver says no")]).live()
    hang = threading.Event()
    for script in (hang, [hang]):
        with pytest.raises(SourceError, match=r"camera 0 gave no frame within 0\.4 s"):
            Camera(script).live()
    hang.set()


@pytest.mark.parametrize("end", [None, cv2.error("codec")], ids=["ends", "raises"])
def test_a_lost_source_is_opened_again_and_says_so_once(end: Any, caplog: pytest.LogCaptureFixture) -> None:
    unplugged = [SourceError("unplugged")] * 4
    hang = threading.Event()
    camera = Camera([gray(1), end], *unplugged, [], [*(gray(2, (16, 12)) for _ in range(100)), hang], pace=0.002)
    seen = []
    with camera.live(patience=Patience(1, 1, 0.02, 0.08, 0.02)) as source:
        for frame in source:
            seen.append((level(frame), frame.image.shape, source.state, source.size))
            assert frame.index == len(seen) - 1
            if len(caplog.records) == 2:
                break
        hang.set()
    assert seen[0] in [(1, (6, 8, 3), state, (8, 6)) for state in ("open", "lost")]  # it may be noticed at once
    assert set(seen[1:]) <= {(2, (12, 16, 3), "open", (16, 12)), (2, (12, 16, 3), "lost", (16, 12))}
    lost, back = (record.getMessage() for record in caplog.records)
    assert "camera 0 was lost after 1 frames: " in lost
    assert ("codec" if end else "stopped sending") in lost
    assert back.startswith("camera 0 is back after ")
    assert back.endswith("(attempts: 6)")
    assert camera.opened == 7
    assert camera.released == 3


def test_one_read_that_fails_is_not_a_loss(caplog: pytest.LogCaptureFixture) -> None:
    camera = Camera([gray(1), None, None, gray(2), None, gray(3)], pace=0.02)
    with camera.live() as source:
        assert [level(frame) for frame in islice(source, 3)] == [1, 2, 3]
    assert camera.opened == 1
    assert not caplog.records


def test_a_read_that_hangs_is_left_to_itself_and_its_late_frame_stays_out(caplog: pytest.LogCaptureFixture) -> None:
    hang, hang_again, end = threading.Event(), threading.Event(), threading.Event()
    camera = Camera([(gray(1), 50.0), hang], [(gray(2), 0.0), hang_again], [(gray(3), 9.0), end, (gray(4), 9.04)])
    with camera.live() as source:
        frames = iter(source)
        first, second = next(frames), next(frames)  # the watchdog bites in between
        hang.set()  # the first driver comes back to life, with a frame of 255
        wait_for(lambda: camera.released == 1)
        third = next(frames)
        end.set()
        hang_again.set()
        assert [level(frame) for frame in (first, second, third)] == [1, 2, 3]
        assert all(0.3 <= b.time - a.time < 1.5 for a, b in pairwise((first, second, third)))
    assert "sent nothing for 0.3 s" in caplog.records[0].getMessage()


def test_never_more_than_two_threads_hang() -> None:
    hang = threading.Event()
    camera = Camera([gray(1), hang], *[hang] * 10)
    threads = threading.active_count()
    with camera.live(patience=Patience(0.25, 0.25, 0.01, 0.01)) as source:
        states = set()
        stopper = threading.Timer(1.5, source.stop)
        stopper.start()
        for _ in source:
            states.add(source.state)
        stopper.join()
        assert threading.active_count() - threads == MAX_ABANDONED
        assert camera.opened == MAX_ABANDONED
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 1.5
    hang.set()


def test_stuck_shows_as_lost_to_other_threads() -> None:
    hang = threading.Event()
    with Camera([gray(1), hang]).live() as source:
        seen = []

        def look() -> None:
            wait_for(lambda: source.state == "lost")
            seen.append(source.state)
            source.stop()

        watcher = threading.Thread(target=look)
        watcher.start()
        assert len(list(source)) == 1
        watcher.join()
        assert (seen, source.state) == (["lost"], "ended")
        hang.set()


def test_a_camera_that_comes_and_goes_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.sources.live.POLL_SECONDS", 0.002)
    camera = Camera(*[[gray(1), gray(2)] for _ in range(400)], pace=0.001)
    with camera.live(patience=Patience(1, 1, 0.001, 0.004, 0.5)) as source:
        frames = sum(1 for _ in islice(source, 150))
    assert frames == 150
    assert len(caplog.records) == 1
    assert camera.opened == camera.released > 50


def test_pauses_grow_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.sources.live.random.uniform", lambda low, high: 1.0)
    pauses = []
    hang = threading.Event()
    with Camera([gray(1), hang]).live(patience=Patience()) as source:
        for _ in range(9):
            source._lose(100.0, "test")
            pauses.append(source._retry_at - 100.0)
        hang.set()
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_process_that_was_paused_does_not_blame_the_camera() -> None:
    hang = threading.Event()
    with Camera([gray(1), hang]).live(patience=Patience()) as source:
        frames = iter(source)
        assert next(frames)
        now = time.monotonic()
        source._watch(now + 60)  # nobody looked for a minute
        assert source.state == "open"
        source._watch(now + 62)
        assert source.state == "open"
        source._watch(now + 66)
        assert source.state == "lost"
        hang.set()


def test_hundreds_of_reconnects_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.sources.live.POLL_SECONDS", 0.002)
    before = threading.active_count()
    camera = Camera(*[[gray(i)] if i % 3 else SourceError("away") for i in range(1, 900)])
    with camera.live(patience=Patience(1, 1, 0.0001, 0.0002, 0.5)) as source:
        assert [frame.index for frame in islice(source, 300)] == list(range(300))
        assert threading.active_count() <= before + 3
    assert camera.released >= 300
