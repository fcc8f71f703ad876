from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien.errors import InputError, SourceError
from mien.sources.connections import watch
from mien.sources.factory import open_source
from mien.sources.live import MAX_ABANDONED, Live, Patience
from mien.types import Frame, Image

MakeClip = Callable[..., Path]
QUICK = Patience(opening=0.4, stuck=0.3, retry=0.02, longest=0.08, hold=0.01)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread and no file stays behind a test."""
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    yield
    until = time.monotonic() + 3
    while time.monotonic() < until and (
        set(threading.enumerate()) - threads or len(os.listdir("/proc/self/fd")) > files
    ):
        time.sleep(0.01)
    assert not set(threading.enumerate()) - threads
    assert len(os.listdir("/proc/self/fd")) <= files


def gray(value: int, size: tuple[int, int] = (8, 6)) -> Image:
    return np.full((size[1], size[0], 3), value % 256, dtype=np.uint8)


class Camera:
    """Stands in for cv2.VideoCapture. Each opening plays one script: an image, with a stamp where it is a pair; None
    for a read that fails; an Event to hang at; an error to raise. A script that is an error cannot be opened."""

    def __init__(self, *scripts: Any, pace: float = 0.0):
        self.scripts, self.pace = list(scripts), pace
        self.opened = self.released = 0

    def connect(self) -> Any:
        self.opened += 1
        script = self.scripts.pop(0) if self.scripts else SourceError("unplugged")
        if isinstance(script, Exception):
            raise script
        if isinstance(script, threading.Event):
            script.wait()
            raise SourceError("too late")
        return Connection(self, script)

    def live(self, **rest: Any) -> Live:
        return Live("camera 0", lambda: watch(self.connect), **{"patience": QUICK, **rest})


class Connection:
    def __init__(self, camera: Camera, script: Any):
        self.camera, self.script, self.stamp = camera, iter(script), 0.0

    def read(self) -> tuple[bool, Image | None]:
        time.sleep(self.camera.pace)
        item = next(self.script, None)
        if isinstance(item, threading.Event):
            item.wait()
            item = gray(255)  # what the driver had kept
        if isinstance(item, Exception):
            raise item
        if isinstance(item, tuple):
            item, self.stamp = item
        return item is not None, item

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_POS_MSEC: self.stamp * 1000, cv2.CAP_PROP_FPS: 25.0}.get(what, 0.0)

    def release(self) -> None:
        self.camera.released += 1


def level(frame: Frame) -> int:
    return int(frame.image[0, 0, 0])


def wait_for(true: Callable[[], object], seconds: float = 3.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.002)


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


@pytest.mark.parametrize(
    "stamps", [[0.0] * 40, [float("nan")] * 40, list(range(40, 0, -1)), [i * 1e5 for i in range(40)]]
)
def test_wild_stamps_do_not_bend_the_time(stamps: Sequence[float]) -> None:
    with Camera([(gray(i), stamp) for i, stamp in enumerate(stamps)], pace=0.005).live() as source:
        frames = list(islice(source, 30))
    steps = [b.time - a.time for a, b in pairwise(frames)]
    assert all(0.001 <= step < 0.5 for step in steps)


def test_stop_in_a_signal_handler_ends_a_wait() -> None:
    for delay in (0.01, 0.05, 0.13):
        hang = threading.Event()
        with Camera([gray(1), hang]).live(patience=Patience()) as source:
            stopped = []

            def on_alarm(*_: object, source: Live = source, stopped: list[float] = stopped) -> None:
                source.stop()
                stopped.append(time.monotonic())

            before = signal.signal(signal.SIGALRM, on_alarm)
            signal.setitimer(signal.ITIMER_REAL, delay)
            try:
                assert len(list(source)) <= 1
                assert time.monotonic() - stopped[0] < 0.6  # 0.1 on a machine that does nothing else
            finally:
                signal.signal(signal.SIGALRM, before)
                hang.set()


@pytest.mark.parametrize("script", [None, "hang"])
def test_stop_ends_the_wait_for_a_lost_camera(script: str | None) -> None:
    hang = threading.Event()
    with Camera([gray(1)], *([hang] if script else [])).live() as source:
        stopper = threading.Timer(0.2, source.stop)
        stopper.start()
        began = time.monotonic()
        assert len(list(source)) == 1
        assert 0.15 < time.monotonic() - began < 0.8
        hang.set()
        stopper.join()


def test_a_source_that_is_dropped_unclosed_ends_its_thread() -> None:
    source = Camera(map(gray, range(10_000)), pace=0.001).live()
    assert next(iter(source))
    del source  # the fixture looks for the thread


def test_closed_twice_and_iterated_twice() -> None:
    source = Camera(map(gray, range(1000)), pace=0.001).live()
    assert list(islice(source, 2))
    with pytest.raises(InputError, match="open it again"):
        next(iter(source))
    source.close()
    source.close()


def test_hundreds_of_reconnects_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.sources.live.POLL_SECONDS", 0.002)
    before = threading.active_count()
    camera = Camera(*[[gray(i)] if i % 3 else SourceError("away") for i in range(1, 900)])
    with camera.live(patience=Patience(1, 1, 0.0001, 0.0002, 0.5)) as source:
        assert [frame.index for frame in islice(source, 300)] == list(range(300))
        assert threading.active_count() <= before + 3
    assert camera.released >= 300


class Server:
    """Sends JPEGs as a camera does; it can be killed, with its connections, and started again on its port."""

    def __init__(self) -> None:
        self.port, self.size, self.running = 0, (64, 48), False

    def start(self) -> None:
        owner = self
        self.connections: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.connections.append(self.connection)
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                number = 0
                with suppress(OSError):
                    while owner.running:
                        number += 1
                        data = cv2.imencode(".jpg", gray(5 * (number % 40), owner.size))[1].tobytes()
                        head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                        self.wfile.write(head.encode() + data + b"\r\n")
                        time.sleep(0.01)

            def log_message(self, *_: object) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = False

        self.running = True
        self.http = Listener(("127.0.0.1", self.port), Handler)
        self.port = self.http.server_port
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def kill(self) -> None:
        self.running = False
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(2)
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def test_a_stream_over_http_whose_server_is_killed_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.start()
    source = open_source(f"http://user:secret@127.0.0.1:{server.port}/live?password=hidden")
    assert isinstance(source, Live)
    source._patience, source._pause, source._hold = Patience(10, 5, 0.05, 0.2, 0.05), 0.05, 0.05
    with source:
        assert (source.kind, source.count, source.size) == ("live", None, (64, 48))
        frames: list[Frame] = []
        for frame in source:
            frames.append(frame)
            if len(frames) == 10:
                server.kill()
                server.size = (80, 60)
                threading.Timer(0.5, server.start).start()
            if len(caplog.records) == 2:
                break
    server.kill()
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert all(a.time < b.time for a, b in pairwise(frames))
    gap = max(b.time - a.time for a, b in pairwise(frames))
    assert 0.4 < gap < 3
    assert frames[0].image.shape == (48, 64, 3)
    assert frames[-1].image.shape == (60, 80, 3)
    # A hundred frames a second, which FFmpeg stamps as if they were 25.
    assert frames[9].time < 0.3
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "secret" not in caplog.text + source.name
    assert "hidden" not in caplog.text + source.name


def test_loop_plays_a_file_again_and_again_at_its_own_pace(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=10, fps=50)
    with open_source(path, loop=True) as source:
        assert (source.kind, source.count, source.fps, source.size) == ("live", None, 50.0, (320, 180))
        assert source.paths == [path]
        began = time.monotonic()
        frames = list(islice(source, 60))
        took = time.monotonic() - began
    times = [frame.time for frame in frames]
    assert len(frames) + source.dropped == pytest.approx(took * 50, abs=20)
    assert times[-1] == pytest.approx(took, abs=0.4)
    assert np.allclose(np.array(times) * 50, np.round(np.array(times) * 50), atol=0.01)  # over the seam, too
    assert all(a < b for a, b in pairwise(times))
    assert len(os.listdir("/proc/self/fd")) < 200


def test_a_slow_reader_of_a_loop_drops_frames_and_keeps_the_pace(tmp_path: Path, make_clip: MakeClip) -> None:
    with open_source(make_clip(tmp_path / "a.mp4", frames=10, fps=50), loop=True) as source:
        frames = []
        for frame in islice(source, 8):
            frames.append((frame.time, time.monotonic()))
            time.sleep(0.1)
    assert source.dropped > 15
    (_, began), (at, now) = frames[0], frames[-1]
    assert at == pytest.approx(now - began, abs=0.4)


def test_a_loop_whose_file_goes_away_is_lost_and_comes_back(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=5, fps=50)
    source = open_source(path, loop=True)
    assert isinstance(source, Live)
    source._pause = 0.02
    away = path.with_suffix(".away")
    with source:
        frames = iter(source)
        next(frames)
        path.rename(away)
        threading.Timer(0.4, lambda: away.rename(path)).start()
        gap = max(b.time - a.time for a, b in pairwise(islice(frames, 30)))
    assert gap > 0.15


def test_what_loop_is_for(tmp_path: Path, portrait: Image) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), portrait)
    for spec in (picture, tmp_path, 0, "/dev/video0", "rtsp://u:secret@127.0.0.1/x", "a ! b", str(tmp_path / "*.png")):
        with pytest.raises(InputError, match="loop is only for a video file") as caught:
            open_source(spec, loop=True)
        assert "secret" not in str(caught.value)
    with pytest.raises(SourceError, match="no file or folder"):
        open_source(tmp_path / "missing.mp4", loop=True)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match="is empty"):
        open_source(tmp_path / "empty.mp4", loop=True)
