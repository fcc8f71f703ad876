"""What the live page tells: faces as events, signs of life, health and metrics."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import pytest
from live_pages import Client, next_event
from waiting import wait_for as until

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from mien.sinks.records import record
from mien.types import EXPRESSIONS, Face
from mien.web import app, counters

MakeFace = Callable[..., Face]


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
        live.channel.counters.frame(1)
    assert live.channel.counters.fps() == pytest.approx(40, rel=0.01)
    monkeypatch.setattr(counters.time, "monotonic", lambda: now + 60)
    assert live.channel.counters.fps() == 0


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
