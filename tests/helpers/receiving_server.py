"""A receiver of webhooks on this machine that answers as it is told: with an error, never, or not at all."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Got:
    """A request that was answered with 200."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """``answers``: status codes of the next requests, then 200; 0 hangs until ``release`` is set. ``headers`` go with
    the errors."""

    def __init__(self, port: int = 0) -> None:
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.got: list[Got] = []
        self.asked = 0
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.asked += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = receiver.answers.pop(0) if receiver.answers else 200
                if code == 0:
                    receiver.release.wait(20)
                    return
                if code == 200:
                    receiver.got.append(Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                with suppress(OSError):
                    self.send_response(code)
                    for name, value in receiver.headers.items() if code != 200 else ():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, path: str = "/hook", login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}{path}"

    def types(self) -> list[str]:
        return [got.event["type"] for got in self.got]

    def frames(self) -> list[int]:
        return [got.event["frame"] for got in self.got if "frame" in got.event]

    def close(self) -> None:
        """May be called twice. After it the port refuses connections."""
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
