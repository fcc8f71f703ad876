"""A live page of several sources: each has pictures, events and metrics of its own, and one that is lost is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from live_pages import TOKEN, Camera, Client, next_event, next_picture
from waiting import wait_for as until

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from mien.types import EXPRESSIONS, Face, Frame
from mien.web import LivePage, app

MakeFace = Callable[..., Face]
NAMES = ("front", "réception", "10.0.0.5-stream")


class Several(Client):
    """A page of three cameras."""

    def __init__(self, address: str = "127.0.0.1:0", **options: str):
        self.cameras = {name: Camera() for name in NAMES}
        self.page = LivePage(address, self.cameras, engine="test/cpu", labels=EXPRESSIONS, **options)
        self.port = int(self.page.url.partition("?")[0].rstrip("/").rpartition(":")[2])

    def show(self, name: str, *faces: Face, index: int = 0, shade: int = 90) -> None:
        image = np.full((640, 960, 3), shade, dtype=np.uint8)
        self.page.write(Frame(image, index / 25, index, name), faces)


@pytest.fixture
def several() -> Iterator[Several]:
    client = Several()
    yield client
    client.page.close()


def test_events_name_their_source(several: Several, make_face: MakeFace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HEARTBEAT_SECONDS", 0.1)
    several.cameras["front"].state = "lost"
    events = several.open("/events")
    name, hello = next_event(events)
    assert (name, hello["engine"], "state" in hello) == ("hello", "test/cpu", False)
    assert [(one["source"], one["state"]) for one in hello["sources"]] == [
        ("front", "lost"), ("réception", "waiting"), ("10.0.0.5-stream", "waiting"),
    ]  # fmt: skip
    for index in range(3):
        several.show("réception", make_face((10, 10, 90, 90)), index=index)
        several.page.note(0.02, "réception")
    told = [next_event(events) for _ in range(12)]
    read = [data for kind, data in told if kind == "message"]
    assert {data["source"] for data in read} == {"réception"}
    assert read[-1]["frame"] == 2
    assert read[-1]["faces"][0]["source"] == "réception"
    beats = {(data["source"], data["state"]) for kind, data in told if kind == "beat"}
    assert {("front", "lost"), ("10.0.0.5-stream", "waiting")} <= beats


def test_each_has_its_pictures(several: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SNAPSHOT_SECONDS", 0.3)
    for shade, name in zip((40, 120, 220), NAMES, strict=True):
        several.show(name, shade=shade)
    for shade, path in ((40, "front"), (120, "r%C3%A9ception"), (220, "10.0.0.5-stream")):
        picture = next_picture(several.open(f"/stream/{path}"))
        assert (picture.shape, abs(float(np.median(picture)) - shade) < 8) == ((640, 960, 3), True)
        for place, width in ((f"/snapshot/{path}.jpg", 960), (f"/tile/{path}", 480)):
            response, body = several.get(place)
            assert (response.status, response.headers["Content-Type"]) == (200, "image/jpeg")
            image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
            assert (image.shape[1], abs(float(np.median(image)) - shade) < 8) == (width, True)
    until(lambda: not any(one.broadcaster.watching["tiles"] for one in several.page._channels.values()))
    for path in ("/stream", "/snapshot.jpg", "/tile", "/stream/back"):
        response, body = several.get(path)
        assert (response.status, body.decode()) == (404, "name one of the sources: front, réception, 10.0.0.5-stream\n")
    several.cameras["front"].state = "lost"
    assert several.get("/tile/front")[0].status == 503
    assert several.get("/tile/10.0.0.5-stream")[0].status == 200


def test_health_says_which_is_lost() -> None:
    client = Several("0.0.0.0:0", token=TOKEN)
    try:
        for name in NAMES:
            client.show(name)
        client.cameras["front"].state = "ended"
        response, body = client.get(f"/healthz?token={TOKEN}")
        states = {"front": "ended", "réception": "open", "10.0.0.5-stream": "open"}
        assert (response.status, json.loads(body)) == (200, {"ok": True, "sources": states})
        client.cameras["réception"].state = "lost"
        response, body = client.get(f"/healthz?token={TOKEN}")
        assert (response.status, json.loads(body)["sources"]["réception"]) == (503, "lost")
        assert json.loads(client.get("/healthz")[1]) == {"ok": False}  # names are not for everybody
        for camera in client.cameras.values():
            camera.state = "ended"
        assert client.get("/healthz")[0].status == 503
    finally:
        client.page.close()


def test_metrics_have_the_source_as_a_label(several: Several, make_face: MakeFace) -> None:
    several.show("front", make_face((1, 1, 20, 20), "fear"))
    several.show("front", make_face((1, 1, 20, 20), "fear"))
    several.show("réception")
    several.page.note(0.004, "réception")
    text = several.get("/metrics")[1].decode()
    for line in (
        'mien_frames_total{source="front"} 2',
        'mien_frames_total{source="10.0.0.5-stream"} 0',
        'mien_faces{source="front",expression="fear"} 1',
        'mien_faces{source="réception",expression="fear"} 0',
        'mien_latency_seconds_bucket{source="réception",le="0.005"} 1',
        'mien_latency_seconds_count{source="front"} 0',
        'mien_viewers{kind="events"} 0',
    ):
        assert f"\n{line}\n" in text
    assert text.count("# TYPE mien_frames_total ") == 1
