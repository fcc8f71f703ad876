"""Pictures of the live page: what they show, and when they are drawn."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from live_pages import TOKEN, Client, next_event, next_picture
from waiting import wait_for as until

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from mien.types import Face, Frame, Image
from mien.web import app, broadcaster

MakeFace = Callable[..., Face]


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


def test_a_frame_that_cannot_be_shown_does_not_end_the_page(live: Client, caplog: pytest.LogCaptureFixture) -> None:
    stream = live.open("/stream")
    until(lambda: live.watching() == 1)
    for _ in range(2):
        live.page.write(Frame(np.zeros((0, 0, 3), dtype=np.uint8), 0.0, 5, ""), ())
        time.sleep(0.1)
    live.write(shade=120)
    assert np.median(next_picture(stream)) == pytest.approx(120, abs=3)
    assert [item.getMessage().partition(":")[0] for item in caplog.records] == ["the live page cannot show frame 5"]
