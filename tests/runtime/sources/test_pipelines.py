"""GStreamer pipelines, without GStreamer: what OpenCV is asked to run, and what becomes of the frames that it gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from mien.errors import SourceError
from mien.sources.factory import open_source
from mien.sources.pixels import as_bgr


class Pipeline:
    """Stands in for cv2.VideoCapture."""

    def __init__(self, *frames: np.ndarray, count: int = -1):
        self.asked: list[str] = []
        self.frames, self.count, self.released = list(frames), count, 0

    def __call__(self, pipeline: str, backend: int) -> Pipeline:
        assert backend == cv2.CAP_GSTREAMER
        self.asked.append(pipeline)
        return self

    def isOpened(self) -> bool:
        return bool(self.frames)

    def read(self) -> tuple[bool, np.ndarray | None]:
        return (True, self.frames.pop(0)) if self.frames else (False, None)

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FRAME_COUNT: float(self.count), cv2.CAP_PROP_FPS: 25.0}.get(what, 0.0)

    def set(self, *_: Any) -> bool:
        return False

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def gstreamer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda backend: True)

    def use(pipeline: Pipeline) -> Pipeline:
        monkeypatch.setattr(cv2, "VideoCapture", pipeline)
        return pipeline

    return use


GRAY = np.full((6, 8, 3), 90, dtype=np.uint8)


def test_every_pipeline_ends_in_square_bgr(gstreamer: Any) -> None:
    pipeline = gstreamer(Pipeline(GRAY, GRAY, count=2))
    with open_source("filesrc location=a.mp4 ! decodebin ! video/x-raw,format=RGBA ! appsink sync=false") as source:
        assert [frame.image.shape for frame in source] == [GRAY.shape] * 2
        assert (source.kind, source.size, source.count) == ("video", (8, 6), None)
    assert pipeline.asked == [
        "filesrc location=a.mp4 ! decodebin ! video/x-raw,format=RGBA ! videoconvert ! videoscale "
        "! video/x-raw,format=BGR,pixel-aspect-ratio=1/1 ! appsink sync=false"
    ]
    assert pipeline.released == 1


def test_a_pipeline_without_an_end_is_live(gstreamer: Any) -> None:
    gstreamer(Pipeline(*[GRAY] * 1000))
    with open_source("v4l2src ! appsink") as source:
        assert source.kind == "live"
        assert next(iter(source)).image.shape == GRAY.shape


def test_a_pipeline_that_cannot_be_converted_says_what_it_must_end_with(gstreamer: Any) -> None:
    gstreamer(Pipeline())
    with pytest.raises(SourceError, match=r"jpegdec.*! videoconvert ! video/x-raw,format=BGR ! appsink") as caught:
        open_source("rtspsrc location=rtsp://a:secret@h user-pw=secret ! jpegenc ! appsink")
    assert "secret" not in str(caught.value)
    with pytest.raises(SourceError, match="does not end in ! appsink"):
        open_source("videotestsrc ! fakesink")


def test_a_pipeline_that_never_starts_is_told(gstreamer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr("mien.sources.pipelines.Patience.opening", 0.1)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: go.wait(5) and Pipeline(GRAY))
    with pytest.raises(SourceError, match=r"did not start within 0\.1 s"):
        open_source("nonsense ! appsink")
    go.set()


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((1, 27224), np.uint8),  # a JPEG
        np.zeros((6, 8, 2), np.uint8),  # YUY2
        np.zeros((6, 8), np.float32),
        np.zeros((6, 8), np.int16),
        np.zeros((6, 8, 5), np.uint8),
    ],
)
def test_frames_that_are_no_pictures_are_refused(gstreamer: Any, frame: np.ndarray, live: bool) -> None:
    gstreamer(Pipeline(frame, frame, count=-1 if live else 2))
    with pytest.raises(SourceError, match="its frames are"), open_source("a ! appsink") as source:
        list(source)


def test_what_is_known_is_converted() -> None:
    wide = np.array([[0, 128 * 257], [65535, 257]], dtype=np.uint16)
    assert as_bgr(wide)[..., 0].tolist() == [[0, 128], [255, 1]]
    assert as_bgr(np.dstack([wide] * 3))[..., 2].tolist() == [[0, 128], [255, 1]]
    assert as_bgr(np.dstack([GRAY, GRAY[..., :1]])).tolist() == GRAY.tolist()
    assert as_bgr(GRAY[..., :1]).tolist() == GRAY.tolist()
