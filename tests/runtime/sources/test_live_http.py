"""A stream over HTTP whose server goes away and comes back."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import cv2
import pytest
from scripted_camera import gray

from mien.sources.factory import open_source
from mien.sources.live import Live, Patience
from mien.types import Frame

pytestmark = pytest.mark.usefixtures("nothing_left")


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
