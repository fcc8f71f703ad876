"""A server on this machine that answers under each path as its page says: in parts, slowly, with a login, or not."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


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


def jpeg(level: int) -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), level, dtype=np.uint8))[1].tobytes()
