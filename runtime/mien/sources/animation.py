"""Animated WebP, PNG and AVIF files as a source: all their frames, at their times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from mien.errors import InputError, SourceError
from mien.paths import readable
from mien.sources.base import Picture, Source
from mien.sources.images import MAX_PIXELS, layout_of, read_bytes
from mien.sources.stills import kinds
from mien.sources.stills.boxes import frames_of, moves
from mien.sources.stills.decoder import to_bgr
from mien.sources.stills.kinds import Kind
from mien.sources.stills.layout import Layout, Unreadable
from mien.sources.stills.motion import compose
from mien.types import Frame, Image

MIN_FRAME_SECONDS, USUAL_FRAME_SECONDS = 0.01, 0.1
"""As in browsers, a frame that should be shown for no longer than the first is shown for the second duration."""
SEARCHED_BYTES = 1 << 16
"""The bytes at the start of a PNG, before its pixels, that say whether it is animated."""


def open_still(path: Path, kind: Kind) -> Source:
    """Open a file as a picture or an animation, whichever it is. SourceError if it cannot be read."""
    if kind in (kinds.PNG, kinds.WEBP, kinds.AVIF):
        data = read_bytes(path)
        try:
            if kind is kinds.AVIF:
                found = _sequence(data) if moves(data) else None
                if found:
                    return Animation(path, *found)
            elif kind is kinds.WEBP or b"acTL" in data[:SEARCHED_BYTES]:
                layout = layout_of(data, kind)
                if len(layout.cells) > 1:
                    return Animation(path, compose(layout), [cell.seconds for cell in layout.cells])
        except Unreadable as reason:
            raise SourceError(f"{path} {reason}") from reason
        except (cv2.error, MemoryError) as error:
            raise SourceError(f"{path} cannot be decoded; if it is very large, make it smaller: {error}") from error
    return Picture(path)


class Animation(Source):
    """A picture file with many frames. The first is decoded at once, the others on demand."""

    kind = "video"

    def __init__(self, path: Path, frames: Iterator[Image], seconds: list[float]):
        """``seconds``: how long each of the ``frames`` is shown."""
        self.name = readable(path)
        self.paths = [path]
        self.count = len(seconds)
        self._seconds = [shown if shown > MIN_FRAME_SECONDS else USUAL_FRAME_SECONDS for shown in seconds]
        self.fps = self.count / sum(self._seconds)
        self._frames = frames
        self._first: Image | None = next(frames)
        self.size = self._first.shape[1], self._first.shape[0]

    def __iter__(self) -> Iterator[Frame]:
        if self._first is None:
            raise InputError(f"{self.name} was iterated over already; open it again")
        time = 0.0
        first, self._first = self._first, None
        try:
            for index, shown in enumerate(self._seconds):
                if self._stopped:
                    break
                image = next(self._frames, None) if index else first
                if image is None:
                    break
                yield Frame(image, time, index, self.name)
                time += shown
        except Unreadable as reason:
            raise SourceError(f"{self.name} {reason}") from reason
        finally:
            self.state = "ended"


def _sequence(data: bytes) -> tuple[Iterator[Image], list[float]] | None:
    """The frames of an AVIF sequence, or None if this OpenCV can only read the first."""
    layout: Layout = layout_of(data, kinds.AVIF)
    count = frames_of(data)
    if layout.orientation != 1 or layout.crop:
        raise Unreadable("is a sequence that must be turned or cropped, which is not supported; convert it to MP4")
    if not hasattr(cv2, "imdecodeanimation") or count * layout.size[0] * layout.size[1] > MAX_PIXELS:
        return None
    done, found = cv2.imdecodeanimation(np.frombuffer(data, np.uint8))
    if not done or not count or len(found.frames) != count:
        return None
    return (to_bgr(frame, layout) for frame in found.frames), [ms / 1000 for ms in found.durations]
