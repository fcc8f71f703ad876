"""Files, pictures and streams on a server, which is one of this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.cli.fer_run import run
from mien.cli.options import parse_args
from mien.errors import InputError, SourceError
from mien.sources import addresses, snapshots
from mien.sources import web_files as asking
from mien.sources.factory import open_source
from mien.sources.live import Ended, Live, Patience
from mien.sources.video import Video
from mien.types import Image

MakeClip = Callable[..., Path]


@dataclass
class Page:
    """What the server answers under one path. ``how``: with its length, chunked, or with no more than an end.
    ``pause``: seconds between parts. ``password``: of the user "me", if one is needed."""

    body: bytes = b""
    kind: str = "application/octet-stream"
    how: str = "length"
    code: int = 200
    pause: float = 0.0
    part: int = 2**14
    missing: int = 0
    password: str | None = None
    digest: bool = False
    asked: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[dict[str, str]] = field(default_factory=list)


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Server:
    def __init__(self) -> None:
        pages: dict[str, Page] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                page = pages.get(self.path.split("?")[0], Page(b"nothing here", "text/plain", code=404))
                page.asked += 1
                page.seen.append(dict(self.headers))
                given = self.headers.get("Authorization", "")
                login = base64.b64encode(f"me:{page.password}".encode()).decode()
                allowed = given == f"Basic {login}"
                if page.digest:
                    said = dict(re.findall(r'(\w+)="([^"]*)"', given))
                    secret = md5(f"me:camera:{page.password}") + ":7:" + md5(f"GET:{self.path}")
                    allowed = said.get("response") == md5(secret)
                if page.password is not None and not allowed:
                    self.send_response(401)
                    kind = 'Digest realm="camera", nonce="7"' if page.digest else 'Basic realm="camera"'
                    self.send_header("WWW-Authenticate", kind)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                etag = page.headers.get("ETag")
                code = 304 if etag and self.headers.get("If-None-Match") == etag else page.code
                self.send_response(code)
                for name, value in page.headers.items():
                    self.send_header(name, value)
                if code == 304:
                    self.end_headers()
                    return
                self.send_header("Content-Type", page.kind)
                if page.how == "length":
                    self.send_header("Content-Length", str(len(page.body) + page.missing))
                elif page.how == "chunked":
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Connection", "close")
                self.end_headers()
                with suppress(OSError):
                    for i in range(0, len(page.body), page.part):
                        data = page.body[i : i + page.part]
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if page.how == "chunked" else data)
                        time.sleep(page.pause)
                    if page.missing:
                        self.close_connection = True
                    if page.how == "chunked":
                        self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_: object) -> None:
                pass

        self.pages = pages
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, path: str, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()


def jpeg(level: int) -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), level, dtype=np.uint8))[1].tobytes()


def endless_webm(clip: Path) -> bytes:
    """The clip as browsers record it: Matroska of unknown length and without a duration or an index."""
    av = pytest.importorskip("av")
    out = clip.with_suffix(".webm")
    with av.open(str(out), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        capture = cv2.VideoCapture(str(clip))
        while (got := capture.read())[0]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(got[1], format="bgr24")))
        container.mux(stream.encode())
    return out.read_bytes()


@pytest.mark.parametrize("how", ["length", "chunked", "close"])
def test_a_recording_without_a_duration_ends_at_its_end(
    server: Server, tmp_path: Path, make_clip: MakeClip, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = endless_webm(make_clip(tmp_path / "a.mp4", frames=30))
    server.pages["/a.webm"] = Page(data, "video/webm", how)
    with open_source(server.url("/a.webm")) as source:
        frames = list(source)
    assert isinstance(source, Video)
    assert (source.kind, len(frames), frames[-1].index) == ("video", 30, 29)
    assert frames[-1].time == pytest.approx(29 / 25, abs=0.01)
    assert not caplog.records


def test_a_recording_that_comes_slowly_ends_too(
    server: Server, tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken for a camera, as it takes its time; but one that would begin anew with the same is none."""
    monkeypatch.setattr(asking, "END_SECONDS", 0.05)
    data = endless_webm(make_clip(tmp_path / "a.mp4", frames=30))
    server.pages["/a.webm"] = Page(data, "video/webm", "chunked", pause=0.05, part=2048)
    with open_source(server.url("/a.webm")) as source:
        assert isinstance(source, Live)
        frames = list(source)
    assert 1 <= len(frames) <= 30
    assert len(frames) + source.dropped >= 29
    assert source.state == "ended"


def test_a_file_whose_server_dies_is_not_passed_off_as_whole(
    server: Server, tmp_path: Path, make_clip: MakeClip, caplog: pytest.LogCaptureFixture
) -> None:
    server.pages["/a.webm"] = Page(endless_webm(make_clip(tmp_path / "a.mp4")), "video/webm")
    with open_source(server.url("/a.webm")) as source:
        server.pages["/a.webm"].code = 503
        assert list(source)
    assert "the end of the video may be missing" in caplog.text


def test_a_file_is_read_by_its_url(tmp_path: Path, make_clip: MakeClip, portrait: Image) -> None:
    clip = make_clip(tmp_path / "a clip#1.mp4")
    cv2.imwrite(str(tmp_path / "a.png"), portrait)
    for url in (f"file://{clip}", clip.as_uri(), f"file:{clip}", f"file://localhost{clip}"):
        with open_source(url) as source:
            assert (source.kind, source.name, len(list(source))) == ("video", str(clip), 12)
    with open_source((tmp_path / "a.png").as_uri()) as source:
        assert source.kind == "image"
    out = tmp_path / "out.csv"
    assert run(parse_args([clip.as_uri(), "--csv", str(out), "--quiet", "--max-frames", "2"])) == 0
    with pytest.raises(SourceError, match="there is no file or folder /none"):
        open_source("file:///none.mp4")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (401, r"needs a user and password \(or a token\).*%40.*HTTP 401"),
        (403, r"forbids it.*HTTP 403"),
        (404, r"has nothing there \(HTTP 404\); check the path|has nothing there; check the path \(HTTP 404"),
        (418, r"refuses it \(HTTP 418"),
        (503, r"has an error; try again later \(HTTP 503"),
    ],
)
def test_what_the_server_refuses_is_said_in_words(server: Server, code: int, words: str) -> None:
    server.pages["/live"] = Page(b"no", "text/plain", code=code)
    with pytest.raises(SourceError, match=words) as caught:
        open_source(server.url("/live?key=secret", "me:secret@"))
    assert "secret" not in str(caught.value)


def test_nobody_there_and_nothing_to_see(server: Server) -> None:
    with pytest.raises(SourceError, match=r"cannot be reached \(.*refused"):
        open_source("http://127.0.0.1:9/a.mp4")
    server.pages["/"] = Page(b"<!doctype html><title>Camera</title>" * 99, "text/html")
    server.pages["/a.bin"] = Page(bytes(9999))
    with pytest.raises(SourceError, match="a web page or text"):
        open_source(server.url("/"))
    with pytest.raises(SourceError, match=r"finds no video|cannot open|gives no frame"):
        open_source(server.url("/a.bin"))


@pytest.mark.parametrize("password", ["plain", "p@ss", "p#ss/w?rd", "p ss"])
def test_a_password_of_any_characters_is_understood(
    server: Server, tmp_path: Path, make_clip: MakeClip, password: str
) -> None:
    server.pages["/a.mp4"] = Page(make_clip(tmp_path / "a.mp4").read_bytes(), "video/mp4", password=password)
    server.pages["/a.jpg"] = Page(jpeg(90), "image/jpeg", password=password)
    for path in ("/a.mp4", "/a.jpg"):
        with open_source(server.url(path, f"me:{password}@")) as source:
            assert next(iter(source)).image.shape[2] == 3
            assert password not in source.name


def test_names_that_are_not_ascii_and_digest_logins(server: Server) -> None:
    server.pages["/%E3%82%AB%20m.jpg"] = Page(jpeg(90), "image/jpeg", password="p w", digest=True)
    with open_source(server.url("/カ m.jpg", "me:p%20w@")) as source:
        assert next(iter(source)).image.shape == (48, 64, 3)
    with pytest.raises(SourceError, match="needs a user and password"):
        open_source(server.url("/カ m.jpg", "me:wrong@"))


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


def test_a_file_with_its_index_at_the_end_from_a_server_that_gives_no_parts(
    server: Server, tmp_path: Path, make_clip: MakeClip
) -> None:
    server.pages["/a.mp4"] = Page(make_clip(tmp_path / "a.mp4", frames=100, size=(640, 360)).read_bytes(), "video/mp4")
    with pytest.raises(SourceError, match="the server only sends the whole file: download it"):
        open_source(server.url("/a.mp4"))


def test_every_is_for_pictures(server: Server, tmp_path: Path, make_clip: MakeClip) -> None:
    server.pages["/a.mp4"] = Page(make_clip(tmp_path / "a.mp4").read_bytes(), "video/mp4")
    for spec in (server.url("/a.mp4"), tmp_path / "a.mp4", 0, "rtsp://127.0.0.1:9/x", tmp_path):
        with pytest.raises(InputError, match="every is only for the address of a single picture"):
            open_source(spec, every=2.0)
    for every in (0.0, -1.0, float("nan"), 1e9, "often"):
        with pytest.raises(InputError, match=r"use a number of seconds from 0\.05 to 3600"):
            open_source(server.url("/a.mp4"), every=every)  # type: ignore[arg-type]


def test_kinds_of_answers() -> None:
    def answer(kind: str, head: bytes, length: int | None = None, ended: bool = False) -> asking.Answer:
        return asking.Answer(kind, length, head, ended)

    assert answer("image/jpeg", jpeg(9), 500).picture
    assert answer("", b"RIFF1234WEBPVP8 ", 500).picture
    assert not answer("image/gif", b"GIF89a", 500).picture
    assert not answer("video/x-motion-jpeg", jpeg(9) * 3, 500).picture
    assert not answer("multipart/x-mixed-replace", b"").finite
    assert not answer("application/vnd.apple.mpegurl", b"#EXTM3U\n#EXTINF:4,\na.ts\n", 30).finite
    assert answer("application/vnd.apple.mpegurl", b"#EXTM3U\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n", 30).finite
    assert not answer("application/dash+xml", b'<?xml?><MPD type="dynamic">', 30).finite
    assert not answer("video/mp2t", b"G\0").finite
    assert answer("video/mp2t", b"G\0", ended=True).finite


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


def test_what_a_server_repeats_of_its_address_is_not_told() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            where = {"/rtsp": "rtsp://me:hidden@camera/x", "/round": "/round?again=hidden"}
            path = self.path.partition("?")[0]
            if path in where:
                self.send_response(302)
                self.send_header("Location", where[path])
            elif path == "/login":
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Negotiate")
            else:
                self.send_response(403, f"no {self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    try:
        for path, words in {
            "/rtsp": "starts with rtsp:, which is not followed",
            "/round": "without end",
            "/login": "neither Basic nor Digest",
            "/echo": "HTTP 403 no /echo",
        }.items():
            with pytest.raises(SourceError, match=words) as caught:
                open_source(f"http://me:hidden@127.0.0.1:{httpd.server_port}{path}?key=hidden")
            assert "hidden" not in str(caught.value)
            assert "\n" not in str(caught.value)
    finally:
        httpd.shutdown()
        httpd.server_close()


def test_nothing_and_a_slow_file_with_its_index_at_the_end_are_named(server: Server) -> None:
    server.pages["/none.jpg"] = Page(b"", "image/jpeg")
    for every in (None, 1.0):
        with pytest.raises(SourceError, match="sends nothing"):
            open_source(server.url("/none.jpg"), every=every)

    def ends() -> Iterator[None]:
        yield None
        raise Ended

    with pytest.raises(SourceError, match=r"ends before its first frame.*download it"):
        Live("slow.mp4", ends)  # type: ignore[arg-type]
