"""Viewers of the live page who are slow, stalled or too many: nobody is waited for."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import suppress

import cv2
import numpy as np
import pytest
from live_pages import Client, next_picture
from waiting import wait_for as until

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from mien.types import Frame
from mien.web import app, broadcaster, server, viewers


def test_a_slow_viewer_gets_fewer_pictures_and_then_the_newest(live: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcaster, "MAX_PICTURES_PER_SECOND", 500)
    monkeypatch.setattr(broadcaster, "REST_FACTOR", 0)
    noise = np.random.default_rng(0).integers(0, 60, (240, 320, 3), dtype=np.uint8)
    slow, fast = live.stalled(), live.open("/stream")
    until(lambda: live.watching() == 2)
    for index in range(200):
        live.page.write(Frame(noise + np.uint8(index // 2), 0.0, index, ""), ())
        next_picture(fast)
    slow.settimeout(1.0)
    received, end = b"", time.monotonic() + 10
    with suppress(TimeoutError):  # when all that was held back has come
        while time.monotonic() < end:
            received += slow.recv(65536)
    pictures = [part for part in received.split(b"--mien-frame") if b"image/jpeg" in part]
    assert 2 <= len(pictures) < 100
    newest = cv2.imdecode(
        np.frombuffer(pictures[-1][pictures[-1].index(b"\xff\xd8") :], dtype=np.uint8), cv2.IMREAD_COLOR
    )
    assert newest is not None
    assert newest.mean() == pytest.approx(noise.mean() + 99, abs=3)
    slow.close()


def test_a_stalled_viewer_is_dropped_and_never_waited_for(live: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers, "SEND_TIMEOUT_SECONDS", 0.4)
    stalled = [live.stalled() for _ in range(5)]
    until(lambda: live.watching() == 5)
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    slowest, end = 0.0, time.monotonic() + 8
    while live.watching() and time.monotonic() < end:
        start = time.perf_counter()
        live.page.write(Frame(noise, 0.0, 0, ""), ())
        slowest = max(slowest, time.perf_counter() - start)
        time.sleep(0.01)
    assert live.watching() == 0
    assert slowest < 0.1
    until(lambda: not live.page._server._server.server_state.connections)
    for sock in stalled:
        sock.close()


def test_more_viewers_than_can_be_served_are_told(live: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MAX_VIEWERS", 2)
    streams = [live.open("/stream") for _ in range(2)]
    until(lambda: live.watching() == 2)
    response, body = live.get("/stream")
    assert (response.status, response.headers["Retry-After"]) == (503, "10")
    assert b"2 viewers" in body
    assert live.get("/healthz")[0].status == 200
    streams[0].close()
    until(lambda: live.watching() == 1)
    live.open("/stream")


def test_connections_that_ask_nothing_are_dropped(live: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SEND_TIMEOUT_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", live.port), timeout=3) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: local")
        with pytest.raises(ConnectionError):
            raise ConnectionError if sock.recv(1) == b"" else AssertionError
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(server, "SEND_TIMEOUT_SECONDS", 60)
    crowd = [socket.create_connection(("127.0.0.1", live.port), timeout=0.5) for _ in range(6)]
    dropped = 0
    for sock in crowd:
        try:
            dropped += sock.recv(1) == b""
        except ConnectionError:
            dropped += 1
        except TimeoutError:
            pass
    assert dropped == 3
    for sock in crowd:
        sock.close()
    until(lambda: not live.page._server._server.server_state.connections)
    assert live.get("/healthz")[0].status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_serving_steps_back_behind_recognition(live: Client) -> None:
    def nice(thread: int | None) -> int:
        return os.getpriority(os.PRIO_PROCESS, thread or 0)

    own = nice(threading.get_native_id())
    for thread in (live.channel.broadcaster._thread, live.page._server._thread):
        until(lambda thread=thread: nice(thread.native_id) == min(19, own + 10))
    assert nice(threading.get_native_id()) == own
