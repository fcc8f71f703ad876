"""A live page with its camera, and what a viewer asks it and gets."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from mien.types import EXPRESSIONS, Face, Frame, Image
from mien.web import LivePage
from mien.web.channel import Channel

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

    @property
    def channel(self) -> Channel:
        return self.page._channels[self.camera.name]

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
        return self.channel.broadcaster.watching[kind]


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
