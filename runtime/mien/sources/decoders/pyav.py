"""PyAV as a second decoder: an FFmpeg with more codecs than OpenCV's and fewer bugs. Imported only when needed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from mien.errors import SourceError
from mien.paths import for_native, is_plain
from mien.sources.decoders.geometry import check_turn, pixel_aspect, upright
from mien.sources.decoders.opencv import Decoded

SLICES_ONLY = ("mpeg4",)
"""Codecs whose interlaced frames FFmpeg corrupts when it decodes several in parallel."""
MAX_SPOILED = 100
"""After so many undecodable packets in a row, the rest of the file is given up."""


class AvDecoder:
    """The frames of ``address``, a file or a stream. ``shown``: its name in messages. ``timeout``: how long opening and
    reading may take, in s. ``mirrored``: as for ``Decoder``. SourceError if it cannot be opened."""

    name = "PyAV"

    def __init__(self, address: str, shown: str, timeout: float, mirrored: float | None = None):
        self._shown, self._mirrored = shown, mirrored
        try:
            with nullcontext(address) if is_plain(address) else for_native(Path(address)) as name:
                container: Any = av.open(name, timeout=(timeout, timeout), metadata_errors="replace")
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f"PyAV {av.__version__} cannot open it either: {_words(error)}") from None
        self._container, self._stream = container, container.streams.best("video")
        if self._stream is None:
            container.close()
            raise SourceError("it contains no video")
        if self._stream.codec_context is None:
            container.close()
            raise SourceError(f"PyAV {av.__version__} does not know its codec either")
        self.codec: str = self._stream.codec_context.name
        self._stream.thread_type = "SLICE" if self.codec in SLICES_ONLY else "AUTO"
        fps = float(self._stream.guessed_rate or 0)
        self.fps = fps if 1 <= fps <= 240 else None
        self.count = self._stream.frames or None
        self._start = self._stream.start_time
        self._coded: Fraction | None = None
        self._frames: Generator[Any, None, None] = self._decode()

    def read(self) -> Decoded | None:
        """The next frame, or None at the end."""
        frame = next(self._frames, None)
        if frame is None:
            return None
        shape = self._shape()
        aspect = pixel_aspect(shape.numerator, shape.denominator, self._shown)
        turn = check_turn(-frame.rotation if self._mirrored is None else self._mirrored, self._shown)
        image = np.ascontiguousarray(frame.to_ndarray(format="bgr24"))
        stamp = None
        if frame.pts is not None:
            stamp = float((frame.pts - (self._start or 0)) * frame.time_base)
        return Decoded(upright(image, aspect, turn, self._mirrored is not None), stamp)

    def _shape(self) -> Fraction:
        """Width of a pixel over its height: according to the container, until the codec says something new, as between
        programs of a broadcast. 0 if unknown."""
        coded = self._stream.codec_context.sample_aspect_ratio or Fraction(0)
        if self._coded is None:
            self._coded = coded
        return coded if coded != self._coded else self._stream.sample_aspect_ratio or coded

    def release(self) -> None:
        self._frames.close()
        self._container.close()

    def _decode(self) -> Generator[Any, None, None]:
        """All frames. Packets that cannot be decoded are skipped, as OpenCV does."""
        spoiled = 0
        while spoiled < MAX_SPOILED:
            try:
                for packet in self._container.demux(self._stream):
                    try:
                        yield from packet.decode()
                        spoiled = 0
                    except av.error.InvalidDataError:
                        spoiled += 1
                        if spoiled == MAX_SPOILED:
                            return
                return
            except av.error.BlockingIOError:  # a damaged transport stream: it searches for more data after the damage
                spoiled += 1
            except av.error.InvalidDataError:  # of the container: the rest of it cannot be read
                return
            except (av.error.FFmpegError, OSError) as error:
                raise SourceError(f"{self._shown} ends early: {_words(error)}") from None


def _words(error: Exception) -> str:
    """FFmpeg's message without the address that it adds, which may contain a password."""
    return getattr(error, "strerror", None) or type(error).__name__
