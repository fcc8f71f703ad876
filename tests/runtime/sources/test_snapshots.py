"""The address of a single picture, which is fetched again and again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import cv2
import pytest
from answering_server import Page, Server, jpeg

from mien.cli.fer_run import run
from mien.cli.options import parse_args
from mien.errors import InputError, SourceError
from mien.sources import addresses, snapshots
from mien.sources.factory import open_source
from mien.sources.live import Live, Patience
from mien.types import Image

MakeClip = Callable[..., Path]


def test_a_picture_is_fetched_again_and_again(server: Server) -> None:
    page = server.pages["/now.jpg"] = Page(jpeg(90), "image/jpeg")
    with open_source(server.url("/now.jpg?key=secret"), every=0.1) as source:
        assert (source.kind, source.fps, source.size, source.count) == ("live", 10.0, (64, 48), None)
        assert "secret" not in source.name
        frames = []
        for frame in source:
            frames.append((round(float(frame.image.mean())), frame.time))
            page.body = jpeg(90 + 10 * len(frames))
            if len(frames) == 6:
                break
    assert [level for level, _ in frames] == pytest.approx([90, 100, 110, 120, 130, 140], abs=11)
    assert all(0.05 < b - a < 0.6 for (_, a), (_, b) in pairwise(frames))


def test_a_picture_that_stayed_the_same_is_not_sent_again(server: Server) -> None:
    page = server.pages["/now.jpg"] = Page(jpeg(90), "image/jpeg", headers={"ETag": '"7"'})
    with open_source(server.url("/now.jpg"), every=0.05) as source:
        assert len(list(islice(source, 4))) == 4  # but it is still what the camera sees
    assert [seen.get("If-None-Match") for seen in page.seen[-2:]] == ['"7"', '"7"']


def test_a_spoiled_picture_is_not_taken_for_the_one_before(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    page = server.pages["/now.jpg"] = Page(jpeg(90), "image/jpeg", headers={"ETag": '"7"'})
    source = open_source(server.url("/now.jpg"), every=0.05)
    assert isinstance(source, Live)
    source._patience, source._pause = Patience(2, 2, 0.05, 0.1, 0.01), 0.05
    with source:
        frames = iter(source)
        next(frames)
        page.body, page.headers = jpeg(90)[:-300], {"ETag": '"8"'}
        threading.Timer(0.6, lambda: setattr(page, "body", jpeg(200))).start()
        while (frame := next(frames)).image.mean() < 150:
            assert not caplog.records
    assert frame.image.mean() > 150
    assert "now.jpg is cut off" in caplog.text


def test_a_picture_that_fails_now_and_then_is_no_loss_and_one_that_fails_is(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    page = server.pages["/now.jpg"] = Page(jpeg(90), "image/jpeg")
    source = open_source(server.url("/now.jpg"), every=0.05)
    assert isinstance(source, Live)
    source._patience, source._pause, source._hold = Patience(2, 2, 0.05, 0.1, 0.01), 0.05, 0.01
    with source:
        frames = iter(source)
        next(frames)
        page.code, asked = 500, page.asked
        threading.Timer(0.06, lambda: setattr(page, "code", 200)).start()
        next(frames)
        next(frames)
        assert not caplog.records
        page.code = 404
        threading.Timer(0.6, lambda: setattr(page, "code", 200)).start()
        for _ in frames:
            if len(caplog.records) == 2:
                break
    assert page.asked > asked
    lost, back = (record.getMessage() for record in caplog.records)
    assert "was lost" in lost
    assert "has nothing there" in lost
    assert "is back after" in back


def test_a_picture_that_is_cut_off_or_none_is_refused(server: Server) -> None:
    server.pages["/a.jpg"] = Page(jpeg(90)[:-300], "image/jpeg")
    with pytest.raises(SourceError, match=r"a\.jpg is cut off"):
        open_source(server.url("/a.jpg"))
    server.pages["/b.jpg"] = Page(jpeg(90), "image/jpeg", missing=10)
    with pytest.raises(SourceError, match="ends early"):
        open_source(server.url("/b.jpg"))


def test_every_is_for_pictures(server: Server, tmp_path: Path, make_clip: MakeClip) -> None:
    server.pages["/a.mp4"] = Page(make_clip(tmp_path / "a.mp4").read_bytes(), "video/mp4")
    for spec in (server.url("/a.mp4"), tmp_path / "a.mp4", 0, "rtsp://127.0.0.1:9/x", tmp_path):
        with pytest.raises(InputError, match="every is only for the address of a single picture"):
            open_source(spec, every=2.0)
    for every in (0.0, -1.0, float("nan"), 1e9, "often"):
        with pytest.raises(InputError, match=r"use a number of seconds from 0\.05 to 3600"):
            open_source(server.url("/a.mp4"), every=every)  # type: ignore[arg-type]


def test_patience_is_longer_than_one_fetch() -> None:
    assert Patience.stuck > snapshots.TIMEOUT_SECONDS
    assert addresses.local("http://h/a") == "http://h/a"


def test_fer_run_follows_a_slow_camera(server: Server, tmp_path: Path, portrait: Image) -> None:
    """Pictures further apart than a face may be out of sight are still one person, who is seen all the time."""
    server.pages["/now.png"] = Page(cv2.imencode(".png", portrait)[1].tobytes(), "image/png")
    out, summary = tmp_path / "out.jsonl", tmp_path / "sum.json"
    options = ["--every", "1.2", "--max-frames", "3", "--json", str(out), "--summary", str(summary), "--quiet"]
    assert run(parse_args([server.url("/now.png?key=secret"), *options])) == 0
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["frame"] for record in records] == [0, 1, 2]
    assert {record["track"] for record in records} == {1}
    assert "secret" not in out.read_text() + summary.read_text()
    assert json.loads(summary.read_text())["tracks"][0]["seconds"] == pytest.approx(2.4, abs=0.4)
