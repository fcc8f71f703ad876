"""The live page as its server gives it: who gets what, who does not, and that nobody is waited for."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from mien.errors import InputError, OutputError
from mien.sinks.records import record
from mien.types import EXPRESSIONS, Face, Frame, Image
from mien.web import LivePage, app, broadcaster, counters, server

MakeFace = Callable[..., Face]
TOKEN = "correct-horse-battery"


class Camera:
    """A source as the page sees it."""

    name = "camera 0"
    fps = 25.0
    state = "open"
    dropped = 7


class Client:
    """A page, its camera, and the questions of a viewer."""

    def __init__(self, address: str = "127.0.0.1:0", **options: Any):
        self.camera = Camera()
        self.page = LivePage(address, self.camera, engine="test/cpu", labels=EXPRESSIONS, **options)
        self.port = urlsplit(self.page.url).port or 0
        self.count = 0

    def write(self, *faces: Face, shade: int = 90, size: tuple[int, int] = (96, 64)) -> Frame:
        image = np.full((size[1], size[0], 3), shade, dtype=np.uint8)
        frame = Frame(image, self.count / 25, self.count, self.camera.name)
        self.count += 1
        self.page.write(frame, faces)
        return frame

    def get(self, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response, response.read()

    def open(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """An endless answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return response

    def stalled(self) -> socket.socket:
        """A viewer that asks for pictures and never reads them."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return sock

    def watching(self, kind: str = "stream") -> int:
        return self.page._broadcaster.watching[kind]


@pytest.fixture
def live() -> Iterator[Client]:
    client = Client()
    yield client
    client.page.close()


@pytest.fixture
def guarded() -> Iterator[Client]:
    client = Client("0.0.0.0:0", token=TOKEN)
    yield client
    client.page.close()


def until(true: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def next_event(response: http.client.HTTPResponse) -> tuple[str, dict[str, Any]]:
    name = "message"
    while line := response.readline():
        if line.startswith(b"event: "):
            name = line[7:].decode().strip()
        if line.startswith(b"data: "):
            return name, json.loads(line[6:])
    raise EOFError


def next_picture(response: http.client.HTTPResponse) -> Image:
    while (line := response.readline()) and not line.lower().startswith(b"content-length"):
        pass
    length = int(line.split(b":")[1])
    assert response.readline() == b"\r\n"
    image = cv2.imdecode(np.frombuffer(response.read(length), dtype=np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, dtype=np.uint8)


def test_the_page_comes_whole_and_closed_to_other_sites(live: Client) -> None:
    for name in ("", "page.js", "cards.js", "plane.js", "style.css", "icon.svg"):
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


def test_events_are_the_records_of_json_lines(live: Client, make_face: MakeFace) -> None:
    events = live.open("/events")
    name, hello = next_event(events)
    assert name == "hello"
    assert hello["labels"] == list(EXPRESSIONS)
    assert hello["colours"]["happiness"] == "#f0e442"
    assert (hello["engine"], hello["source"], hello["state"]) == ("test/cpu", "camera 0", "waiting")
    face = make_face((10, 10, 40, 50))
    frame = live.write(face, make_face((50, 10, 80, 50), landmarks=False))
    live.page.note(0.02)
    name, told = next_event(events)
    assert name == "message"
    assert told["faces"][0] == record(frame, 0, face)
    assert (told["faces"][1]["landmarks"], told["faces"][1]["face"]) == (None, 1)
    assert (told["frame"], told["size"], told["dropped"], told["state"]) == (0, [96, 64], 7, "open")
    live.write()
    name, told = next_event(events)
    assert (told["faces"], told["frame"], told["latency_ms"]) == ([], 1, 20.0)


def test_signs_of_life_tell_that_the_camera_is_lost(live: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HEARTBEAT_SECONDS", 0.05)
    live.write()
    events = live.open("/events")
    assert [next_event(events)[0] for _ in range(3)] == ["hello", "message", "beat"]
    live.camera.state = "lost"
    until(lambda: next_event(events)[1]["state"] == "lost")
    live.camera.state = "open"
    until(lambda: next_event(events)[1]["state"] == "open")
    monkeypatch.setattr(counters, "SILENCE_SECONDS", 0.05)
    until(lambda: next_event(events)[1]["state"] == "stuck")


def test_frame_rate_is_that_of_the_last_seconds(live: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    for i in range(100):
        monkeypatch.setattr(counters.time, "monotonic", lambda i=i: now + i / 40)
        live.page._counters.frame(1)
    assert live.page._counters.fps() == pytest.approx(40, rel=0.01)
    monkeypatch.setattr(counters.time, "monotonic", lambda: now + 60)
    assert live.page._counters.fps() == 0


def test_pictures_move_and_show_the_faces(live: Client, make_face: MakeFace) -> None:
    stream = live.open("/stream")
    assert stream.headers["Content-Type"].startswith("multipart/x-mixed-replace; boundary=")
    live.write(shade=60)
    plain = next_picture(stream)
    assert plain.shape == (64, 96, 3)
    assert np.abs(plain.astype(int) - 60).max() < 4
    live.write(make_face((20, 15, 60, 55)), shade=200)
    drawn = next_picture(stream)
    assert np.median(drawn) == pytest.approx(200, abs=3)
    assert np.abs(drawn.astype(int) - 200).max() > 60
    assert next_picture(stream).shape == plain.shape  # once more while nothing new comes


def test_large_pictures_are_shown_smaller_with_their_faces_in_place(live: Client, make_face: MakeFace) -> None:
    stream = live.open("/stream")
    live.write(make_face((1600, 400, 2000, 900)), size=(2560, 1440))
    picture = next_picture(stream).astype(int)
    assert picture.shape == (720, 1280, 3)
    assert np.abs(picture[:, :500] - 90).max() < 12
    assert np.abs(picture[190:460, 790:1010] - 90).max() > 60


def test_blur_hides_faces_and_those_that_are_expected(
    portrait: Image, make_face: MakeFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "HEARTBEAT_SECONDS", 60)  # no picture comes twice

    def detail(picture: Image) -> float:
        return float(cv2.Laplacian(picture[85:150, 195:250], cv2.CV_64F).std())

    face, live = make_face((178, 63, 268, 176)), Client(blur=True)
    try:
        stream = live.open("/stream")
        for number, (seen, hidden) in enumerate([([face], []), ([], [face]), ([], [])]):
            live.page.write(Frame(portrait, number / 25, number, "a"), seen, hidden)
            shown = next_picture(stream)
            if seen or hidden:
                assert detail(shown) < 0.2 * detail(portrait)
            else:
                assert detail(shown) > 0.7 * detail(portrait)
    finally:
        live.page.close()


def test_a_snapshot_is_the_newest_picture(
    live: Client, guarded: Client, make_face: MakeFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SNAPSHOT_SECONDS", 0.3)
    response, body = live.get("/snapshot.jpg")
    assert (response.status, body) == (503, b"there is no picture now: the source is waiting; try again later\n")
    for shade in (40, 200):
        live.write(make_face((10, 10, 40, 40)), shade=shade)
        response, body = live.get("/snapshot.jpg")
        assert (response.status, response.headers["Content-Type"]) == (200, "image/jpeg")
        assert response.headers["Cache-Control"] == "no-store"
        image = cv2.imdecode(np.frombuffer(body, dtype=np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (64, 96, 3)
        assert abs(float(np.median(image)) - shade) < 8
    until(lambda: not live.watching())  # and nothing is drawn afterwards
    viewer = live.open("/stream")
    until(live.watching)
    assert live.get("/snapshot.jpg")[0].status == 200
    monkeypatch.setattr(app, "MAX_VIEWERS", 1)
    assert live.get("/snapshot.jpg")[0].status == 503
    viewer.close()
    live.camera.state = "lost"
    monkeypatch.setattr(app, "MAX_VIEWERS", 9)
    response, body = live.get("/snapshot.jpg")
    assert (response.status, b"the source is lost" in body) == (503, True)
    guarded.write()
    assert guarded.get("/snapshot.jpg")[0].status == 401
    assert guarded.get(f"/snapshot.jpg?token={TOKEN}")[0].status == 200
    assert live.get("/snapshot.jpg", Host="evil.example")[0].status == 403


def test_health(live: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    response, body = live.get("/healthz")
    assert (response.status, json.loads(body)) == (200, {"ok": True})  # it has just started
    live.write()
    assert live.get("/healthz")[0].status == 200
    live.camera.state = "lost"
    response, body = live.get("/healthz")
    assert (response.status, json.loads(body)) == (503, {"ok": False})
    live.camera.state = "open"
    monkeypatch.setattr(counters, "SILENCE_SECONDS", 0.01)
    time.sleep(0.02)
    assert live.get("/healthz")[0].status == 503


def test_metrics_are_prometheus_text(live: Client, make_face: MakeFace) -> None:
    live.write(make_face((1, 1, 20, 20)), make_face((30, 1, 50, 20), "fear"))
    live.write(make_face((1, 1, 20, 20), 'odd "label"\\'))
    for seconds in (0.01, 0.004, 0.3, 9.0):
        live.page.note(seconds)
    response, body = live.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values, told = {}, set()
    for line in body.decode().splitlines():
        if line.startswith("# TYPE "):
            told.add(line.split()[2])
        elif not line.startswith("#"):
            match = re.fullmatch(r"([a-z_]+)((?:\{.*\})?) (\S+)", line)
            assert match, line
            assert re.sub("_(bucket|sum|count)$", "", match[1]) in told
            values[match[1] + match[2]] = float(match[3])
    assert (values["mien_frames_total"], values["mien_faces_total"], values["mien_frames_dropped_total"]) == (2, 3, 7)
    assert (values["mien_source_up"], values['mien_viewers{kind="stream"}']) == (1, 0)
    assert values['mien_faces{expression="happiness"}'] == 0  # those of the last frame
    assert values[r'mien_faces{expression="odd \"label\"\\"}'] == 1
    assert values['mien_latency_seconds_bucket{le="0.01"}'] == 2
    assert values['mien_latency_seconds_bucket{le="0.5"}'] == 3
    assert values['mien_latency_seconds_bucket{le="+Inf"}'] == values["mien_latency_seconds_count"] == 4
    assert values["mien_latency_seconds_sum"] == pytest.approx(9.314)
    assert any(name.startswith("mien_build_info{") and 'engine="test/cpu"' in name for name in values)


def test_an_address_that_others_reach_needs_a_token(guarded: Client) -> None:
    assert guarded.page.url.endswith(f"/?token={TOKEN}")
    for path in ("/", "/page.js", "/stream", "/events", "/metrics"):
        for answer in (
            guarded.get(path),
            guarded.get(path, Authorization="Bearer wrong"),
            guarded.get(f"{path}?token="),
        ):
            assert answer[0].status == 401
            assert answer[0].headers["WWW-Authenticate"].startswith("Bearer")
            assert b"token" in answer[1]
            assert TOKEN.encode() not in answer[1]
    assert guarded.get("/healthz")[1] == b'{"ok":true}'
    assert guarded.get("/metrics", Authorization=f"Bearer {TOKEN}")[0].status == 200
    response, _ = guarded.get(f"/?token={TOKEN}", Host="any.example")
    assert response.status == 200
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    guarded.open("/stream", Cookie=cookie.partition(";")[0]).close()
    assert guarded.get("/", Cookie=cookie.partition("=")[0] + "=wrong")[0].status == 401
    assert guarded.get("/", Authorization="Bearer \xe9")[0].status == 401


def test_a_token_is_made_where_none_is_given() -> None:
    pages = [LivePage("0.0.0.0:0", Camera(), engine="", labels=()) for _ in range(2)]
    try:
        assert len({page.token for page in pages}) == 2
        assert all(page.token and len(page.token) >= 20 for page in pages)
        assert "0.0.0.0" not in pages[0].url
    finally:
        for page in pages:
            page.close()


@pytest.mark.parametrize("token", ["", "short", "with spaces in it", "semi;colon-and-more", "ünïcode-token"])
def test_a_token_that_cannot_protect_or_travel_is_refused(token: str) -> None:
    with pytest.raises(InputError, match="8 or more") as error:
        LivePage("127.0.0.1:0", Camera(), engine="", labels=(), token=token)
    assert not token or token not in str(error.value)


def test_other_sites_cannot_read_along(live: Client, guarded: Client) -> None:
    assert live.get("/metrics", Host="evil.example")[0].status == 403  # a name that was pointed at 127.0.0.1
    assert live.get("/", Host="localhost.evil.example:80")[0].status == 403
    for host in ("localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8080"):
        assert live.get("/", Host=host)[0].status == 200
    for client, headers in ((live, {}), (guarded, {"Authorization": f"Bearer {TOKEN}"})):
        for site in ("cross-site", "same-site"):
            fetch = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", **headers}
            assert client.get("/metrics", **fetch)[0].status == 403


def test_the_token_is_in_no_log_and_nothing_is_printed(
    guarded: Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    guarded.get(f"/?token={TOKEN}")
    guarded.get(f"/{TOKEN}?token={TOKEN}x")
    with socket.create_connection(("127.0.0.1", guarded.port)) as sock:
        sock.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        assert b"400" in sock.recv(99)
    assert TOKEN not in caplog.text
    assert not [item for item in caplog.records if item.levelno >= logging.WARNING]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "address", ["", "host", "99999", "-1", ":8080", "a:b:80", "::1:80", "[::1]", "1.2.3.4:", "80 80"]
)
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(OutputError, match="such as 8080"):
        LivePage(address, Camera(), engine="", labels=())


def test_an_address_that_cannot_be_had_is_told(live: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match=rf"port {live.port} is used by another program.* 0 for a free one"):
        Client(f"127.0.0.1:{live.port}")
    with pytest.raises(OutputError, match=r"203\.0\.113\.7 is not an address of this machine"):
        Client("203.0.113.7:0")

    def refuse(self: socket.socket, place: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(OutputError, match=r"no permission for port 80; .* such as 8080"):
        Client("80")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6() -> None:
    try:
        page = LivePage("[::1]:0", Camera(), engine="", labels=())
    except OutputError:
        pytest.skip("no IPv6 loopback here")
    try:
        assert page.url.startswith("http://[::1]:")
        assert page.token is None
    finally:
        page.close()


def test_nothing_is_drawn_while_nobody_watches(live: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    draw = broadcaster.draw_faces
    monkeypatch.setattr(broadcaster, "draw_faces", lambda *args: drawn.append(1) or draw(*args))
    live.write()
    events = live.open("/events")  # needs no picture either
    next_event(events), next_event(events)
    assert not drawn
    stream = live.open("/stream")
    next_picture(stream)
    assert len(drawn) == 1
    others = [live.open("/stream") for _ in range(4)]
    live.write(shade=10)
    assert all(abs(np.median(next_picture(other)) - 10) < 90 for other in [stream, *others])
    assert len(drawn) <= 2  # once for everybody


def test_a_late_viewer_sees_the_newest_frame(live: Client) -> None:
    live.write(shade=20)
    stream = live.open("/stream")
    next_picture(stream)
    stream.close()
    until(lambda: not live.watching())
    live.write(shade=220)
    assert np.median(next_picture(live.open("/stream"))) > 200


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
    monkeypatch.setattr(app, "SEND_TIMEOUT_SECONDS", 0.4)
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


def test_a_frame_that_cannot_be_shown_does_not_end_the_page(live: Client, caplog: pytest.LogCaptureFixture) -> None:
    stream = live.open("/stream")
    until(lambda: live.watching() == 1)
    for _ in range(2):
        live.page.write(Frame(np.zeros((0, 0, 3), dtype=np.uint8), 0.0, 5, ""), ())
        time.sleep(0.1)
    live.write(shade=120)
    assert np.median(next_picture(stream)) == pytest.approx(120, abs=3)
    assert [item.getMessage().partition(":")[0] for item in caplog.records] == ["the live page cannot show frame 5"]


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


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_serving_steps_back_behind_recognition(live: Client) -> None:
    def nice(thread: int | None) -> int:
        return os.getpriority(os.PRIO_PROCESS, thread or 0)

    own = nice(threading.get_native_id())
    for thread in (live.page._broadcaster._thread, live.page._server._thread):
        until(lambda thread=thread: nice(thread.native_id) == min(19, own + 10))
    assert nice(threading.get_native_id()) == own


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
    assert live.page._broadcaster.latest is None
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
