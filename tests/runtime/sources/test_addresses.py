"""Files by their URL, logins, and what a server refuses or repeats."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest
from answering_server import Page, Server, jpeg

from mien.cli.fer_run import run
from mien.cli.options import parse_args
from mien.errors import SourceError
from mien.sources.factory import open_source
from mien.types import Image

MakeClip = Callable[..., Path]


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
