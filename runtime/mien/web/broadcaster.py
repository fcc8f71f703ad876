"""Turns the newest frame into a JPEG and an event, on its own thread and only while somebody watches."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mien.drawing.faces import blur_faces, draw_faces
from mien.sinks.events import event
from mien.types import Face, Frame
from mien.web.counters import Counters

MAX_PICTURES_PER_SECOND = 25
"""Upper limit of the rate at which pictures are drawn."""
REST_FACTOR = 3
"""After drawing, the thread pauses this many times as long as it took, so that it uses at most a quarter of a core."""
MAX_PARTS_PER_SECOND = 500
"""Parts sent to all viewers together: if there are more than about twenty, each gets fewer pictures."""
SIDES_PX = {"stream": 1280, "tiles": 480}
"""Kinds of pictures; larger frames are shrunk to this longer side before they are drawn on."""
JPEG_QUALITY = 82

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Moment:
    """The newest frame and its faces, the ``hidden`` ones that are only expected, and a running ``number``."""

    frame: Frame
    faces: Sequence[Face]
    hidden: Sequence[Face]
    number: int


@dataclass(frozen=True)
class Shown:
    """A moment as viewers get it. ``pictures``: JPEGs of the kinds that somebody watches."""

    number: int
    pictures: Mapping[str, bytes]
    event: bytes


class FrameBroadcaster:
    """Prepares the frames of one source for all viewers. ``put`` only stores a reference, and ``shown`` is always the
    newest moment: there is no queue."""

    def __init__(self, counters: Counters, *, blur: bool, drawing: Callable[[], int] = lambda: 1):
        """``drawing``: how many broadcasters share the time that may be spent on drawing."""
        self.latest: Moment | None = None
        self.shown: Shown | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called on the drawing thread after ``shown`` has changed."""
        self.watching = {"stream": 0, "events": 0, "tiles": 0}
        self._counters = counters
        self._blur = blur
        self._drawing = drawing
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._warned = False
        self._thread = threading.Thread(target=self._run, name="mien-draw", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, frame: Frame, faces: Sequence[Face], hidden: Sequence[Face]) -> None:
        if self._closing.is_set():
            return
        number = self.latest.number + 1 if self.latest else 0
        self.latest = Moment(frame, faces, hidden, number)
        if any(self.watching.values()):
            self._wake.set()

    @contextmanager
    def watch(self, kind: str) -> Iterator[None]:
        """Count a viewer of the ``stream``, ``events`` or ``tiles`` within the context. Only for the server's
        thread."""
        if not any(self.watching.values()):
            self.shown = None  # an old picture may have been drawn just after the last viewer left
        self.watching[kind] += 1
        self._wake.set()
        try:
            yield
        finally:
            self.watching[kind] -= 1
            if not any(self.watching.values()):
                self.shown = None

    def close(self) -> None:
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout=5)
        self.latest = self.shown = None

    def _run(self) -> None:
        step_back()
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            moment, shown = self.latest, self.shown
            wanted = [kind for kind in SIDES_PX if self.watching[kind]]
            known = shown is not None and moment is not None and shown.number == moment.number
            complete = known and shown is not None and all(kind in shown.pictures for kind in wanted)
            if moment is None or complete or not any(self.watching.values()) or self._closing.is_set():
                continue
            start, work = time.monotonic(), time.thread_time()
            try:
                self.shown = self._show(moment, wanted)
                self.changed()
            except Exception as error:  # one unusual frame must not end the page
                if not self._warned:
                    log.warning("the live page cannot show frame %d: %s", moment.frame.index, error)
                self._warned = True
            took, work = time.monotonic() - start, time.thread_time() - work
            pause = max(1 / MAX_PICTURES_PER_SECOND, sum(self.watching.values()) / MAX_PARTS_PER_SECOND)
            self._closing.wait(max(pause - took, REST_FACTOR * work * max(1, self._drawing())))

    def _show(self, moment: Moment, wanted: Sequence[str]) -> Shown:
        content = {**event(moment.frame, moment.faces), **self._counters.status()}
        data = json.dumps(content, allow_nan=False).encode()
        return Shown(moment.number, {kind: self._jpeg(moment, SIDES_PX[kind]) for kind in wanted}, data)

    def _jpeg(self, moment: Moment, side: int) -> bytes:
        image, faces = moment.frame.image, moment.faces
        height, width = image.shape[:2]
        scale = min(1.0, side / max(height, width))
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        faces = [_scaled(face, scale) for face in faces]
        if self._blur:
            image = blur_faces(image, [*faces, *(_scaled(face, scale) for face in moment.hidden)])
        ok, data = cv2.imencode(".jpg", draw_faces(image, faces), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not ok:
            raise ValueError(f"OpenCV cannot encode a picture of shape {image.shape}")
        return data.tobytes()


def step_back() -> None:
    """Lower the priority of the calling thread below the threads that recognize, if the system can."""
    if sys.platform == "linux":  # where each thread has its own priority
        with suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + 10))


def _scaled(face: Face, scale: float) -> Face:
    if scale == 1:
        return face
    factor = np.float32(scale)
    return replace(
        face,
        box=face.box * factor,
        landmarks=None if face.landmarks is None else face.landmarks * factor,
        raw=None if face.raw is None else _scaled(face.raw, scale),
    )
