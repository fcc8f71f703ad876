"""The live page as its server gives it: its files, its methods, its end, and where its extra is missing."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from importlib.resources import files

import numpy as np
import pytest
from live_pages import Client
from waiting import wait_for as until

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from mien.types import Face, Frame
from mien.web import app

MakeFace = Callable[..., Face]


def test_the_page_comes_whole_and_closed_to_other_sites(live: Client) -> None:
    for name in ("", "page.js", "cards.js", "plane.js", "tiles.js", "style.css", "icon.svg"):
        response, body = live.get(f"/{name}")
        assert response.status == 200
        assert body == (files("mien") / "web" / "static" / (name or "index.html")).read_bytes()
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in response.headers
        # Nothing comes from elsewhere: the page works without a network.
        assert not re.findall(rb"(?:https?:)?//[a-z0-9]", body.replace(b"http://www.w3.org/2000/svg", b""))
    assert live.get("/nothing")[0].status == 404
    assert live.get("/../index.html")[0].status == 404
    assert live.get("/", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0].status == 200


def test_every_file_of_the_page_is_served() -> None:
    folder = files("mien") / "web" / "static"
    assert {item.name for item in folder.iterdir()} == {name for name, _ in app.PAGE.values()}


def test_head_and_post(live: Client) -> None:
    for method, path, status in (
        ("HEAD", "/stream", 200),
        ("HEAD", "/", 200),
        ("POST", "/", 405),
        ("PUT", "/stream", 405),
    ):
        with closing(http.client.HTTPConnection("127.0.0.1", live.port, timeout=3)) as connection:
            connection.request(method, path, body=b"x" * 100)
            response = connection.getresponse()
            response.read()
            assert (method, path, response.status) == (method, path, status)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")
def test_closing_is_quick_and_leaves_nothing_behind(make_face: MakeFace) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    Client().page.close()  # what is loaded once
    threads, descriptors = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    live = Client()
    viewers = [live.open(path) for path in ("/stream", "/events") for _ in range(3)]
    stalled = [live.stalled() for _ in range(3)]
    until(lambda: live.watching() == 6)
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    for index in range(30):
        live.page.write(Frame(noise, 0.0, index, ""), [make_face((9, 9, 99, 99))])
        time.sleep(0.01)
    start = time.monotonic()
    live.page.close()
    assert time.monotonic() - start < 2
    assert set(threading.enumerate()) == threads
    live.page.close()
    live.write()  # too late, and harmless
    assert live.channel.broadcaster.latest is None
    for viewer in viewers:
        if viewer.headers["Content-Type"].startswith("text/event-stream"):
            assert viewer.read().endswith(b"\n\n")  # whole events, and an orderly end
        viewer.close()
    for sock in stalled:
        sock.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    Client(f"127.0.0.1:{live.port}").page.close()  # the port is free again
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; from mien.web import LivePage\n"
        "assert 'starlette' not in sys.modules\n"
        "try: LivePage('0', None, engine='', labels=())\n"
        "except ImportError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "mien[web]"' in result.stdout
