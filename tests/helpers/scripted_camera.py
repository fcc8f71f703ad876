"""A camera that plays scripts, and a live source that is quick to give up on it."""

from __future__ import annotations

import threading
import time
from typing import Any

import cv2
import numpy as np

from mien.errors import SourceError
from mien.sources.connections import watch
from mien.sources.live import Live, Patience
from mien.types import Frame, Image

QUICK = Patience(opening=0.4, stuck=0.3, retry=0.02, longest=0.08, hold=0.01)


def gray(value: int, size: tuple[int, int] = (8, 6)) -> Image:
    return np.full((size[1], size[0], 3), value % 256, dtype=np.uint8)


class Camera:
    """Stands in for cv2.VideoCapture. Each opening plays one script: an image, with a stamp where it is a pair; None
    for a read that fails; an Event to hang at; an error to raise. A script that is an error cannot be opened."""

    def __init__(self, *scripts: Any, pace: float = 0.0):
        self.scripts, self.pace = list(scripts), pace
        self.opened = self.released = 0

    def connect(self) -> Any:
        self.opened += 1
        script = self.scripts.pop(0) if self.scripts else SourceError("unplugged")
        if isinstance(script, Exception):
            raise script
        if isinstance(script, threading.Event):
            script.wait()
            raise SourceError("too late")
        return Connection(self, script)

    def live(self, **rest: Any) -> Live:
        return Live("camera 0", lambda: watch(self.connect), **{"patience": QUICK, **rest})


class Connection:
    def __init__(self, camera: Camera, script: Any):
        self.camera, self.script, self.stamp = camera, iter(script), 0.0

    def read(self) -> tuple[bool, Image | None]:
        time.sleep(self.camera.pace)
        item = next(self.script, None)
        if isinstance(item, threading.Event):
            item.wait()
            item = gray(255)  # what the driver had kept
        if isinstance(item, Exception):
            raise item
        if isinstance(item, tuple):
            item, self.stamp = item
        return item is not None, item

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_POS_MSEC: self.stamp * 1000, cv2.CAP_PROP_FPS: 25.0}.get(what, 0.0)

    def release(self) -> None:
        self.camera.released += 1


def level(frame: Frame) -> int:
    return int(frame.image[0, 0, 0])
