"""GStreamer pipelines as sources."""

from __future__ import annotations

import re

import cv2

from mien.errors import SourceError
from mien.paths import check_plain
from mien.sources.base import Source
from mien.sources.connections import connect_within, private, watch
from mien.sources.decoders import Decoder
from mien.sources.live import Live, Patience
from mien.sources.privacy import Secrets
from mien.sources.video import Video

APPSINK = re.compile(r"!\s*appsink\b")
CONVERTED = "! videoconvert ! videoscale ! video/x-raw,format=BGR,pixel-aspect-ratio=1/1 ! appsink"
"""The end that a pipeline gets. OpenCV returns RGBA, NV12, Bayer and JPEG data unchanged, and their arrays cannot be
told from pictures. It costs nothing if frames are BGR with square pixels already; what it cannot convert does not
start."""
ENDING = re.compile(r"\bfilesrc\b|\bsplitfilesrc\b|\bnum-buffers\s*=\s*\d|\bfile:/")
"""Elements of pipelines that have an end."""


def is_pipeline(text: str) -> bool:
    """Whether it is a GStreamer pipeline."""
    return " ! " in text


def open_pipeline(pipeline: str) -> Source:
    """Open a pipeline as a video if it has an end, otherwise as a live source. SourceError, with the remedy, if that
    fails."""
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"OpenCV {cv2.__version__} from pip has no GStreamer; for pipelines use the system's OpenCV "
            "(JetPack, or apt install python3-opencv), or give the rtsp:// address or camera number"
        )
    secrets = Secrets(pipeline)
    if not APPSINK.search(pipeline):
        raise SourceError(f"{secrets.shown!r} does not end in ! appsink, from which frames are read; add it")

    check_plain(pipeline, "the pipeline")

    def connect() -> cv2.VideoCapture:
        capture = cv2.VideoCapture(APPSINK.sub(CONVERTED, pipeline), cv2.CAP_GSTREAMER)
        if not capture.isOpened():
            raise SourceError(
                f"GStreamer cannot run {secrets.shown!r}, or it does not end in raw video; try it with gst-launch-1.0, "
                "and end it, after jpegdec, bayer2rgb or whatever decodes it, with "
                "! videoconvert ! video/x-raw,format=BGR ! appsink"
            )
        return capture

    opened = [connect_within(Patience.opening, connect, secrets.shown)]
    if opened[0].get(cv2.CAP_PROP_FRAME_COUNT) > 0 or ENDING.search(pipeline):
        video = Video(secrets.shown, Decoder(opened[0], secrets.shown))
        video.count = None  # GStreamer estimates it from the duration, which may be that of the sound
        return video

    def first() -> cv2.VideoCapture:
        return opened.pop() if opened else connect()

    return Live(secrets.shown, lambda: private(secrets, watch(first, secrets.shown)))
