"""Videos of every kind, made with PyAV: interlaced, of odd pixels, turned, cut, with sound that goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien.types import Image


def moving(portrait: Image, frames: int, size: tuple[int, int] = (320, 180)) -> list[Image]:
    """A face that goes from side to side over a gray ground."""
    width, height = size
    side = min(size)
    person = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    images = []
    for i in range(frames):
        image = np.full((height, width, 3), 90, dtype=np.uint8)
        left = (i * 4) % (width - side + 1)
        image[:side, left : left + side] = person
        images.append(image)
    return images


def write(
    path: Path,
    images: Iterable[Image],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: int = 25,
    interlaced: bool = False,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    container: str | None = None,
    container_options: dict[str, str] | None = None,
    sound: float = 0.0,
    start: int = 0,
) -> Path:
    """``images`` as a video. ``aspect``: width by height of a pixel. ``sound``: seconds of silence beside them.
    ``start``: frames before the first."""
    import av

    options = dict(options or {})
    if interlaced:
        options |= {"x264-params": "interlaced=1"} if codec == "libx264" else {"flags": "+ildct+ilme"}
    made: Any
    with av.open(str(path), "w", format=container, options=container_options or {}) as made:
        stream: Any = None
        noise: Any = made.add_stream("aac" if path.suffix != ".webm" else "libopus", rate=48_000) if sound else None
        for number, image in enumerate(images):
            if stream is None:
                stream = made.add_stream(codec, rate=rate, options=options)
                stream.height, stream.width, stream.pix_fmt = *image.shape[:2], pixels
                if aspect:
                    stream.codec_context.sample_aspect_ratio = aspect
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = start + number, Fraction(1, rate)
            made.mux(stream.encode(frame))
        for i in range(round(sound * 48_000 / 960)):
            quiet = av.AudioFrame.from_ndarray(np.zeros((2, 960), np.float32), format="fltp", layout="stereo")
            quiet.sample_rate, quiet.pts, quiet.time_base = 48_000, i * 960, Fraction(1, 48_000)
            made.mux(noise.encode(quiet))
        for each in filter(None, (stream, noise)):
            made.mux(each.encode(None))
    return path


def flag_interlaced(path: Path, which: Sequence[bool]) -> Path:
    """Say of the frames of a progressive MPEG-2 file, in the order of the file, which are interlaced.

    Only the mark ``progressive_frame`` of the picture coding extensions is changed, and that of the sequence, so the
    pictures stay as they are.
    """
    data = bytearray(path.read_bytes())
    at, number = 0, 0
    while (at := data.find(b"\0\0\1\xb5", at)) >= 0:
        kind = data[at + 4] >> 4
        if kind == 1:
            data[at + 5] &= ~0x08 & 0xFF  # progressive_sequence
        elif kind == 8:
            if which[number % len(which)]:
                data[at + 8] &= 0x7F
            number += 1
        at += 4
    path.write_bytes(bytes(data))
    return path
