"""Films in every container, of any shape of pixels, turn, rate, sound and edit list."""

from __future__ import annotations

import io
import os
import random
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from benchmarks.reliability.fuzz.spoil import spoil

os.environ.setdefault("SVT_LOG", "0")

CODECS: dict[str, tuple[tuple[str, str], ...]] = {
    ".mp4": (("libx264", "yuv420p"), ("libx264", "yuv444p"), ("mpeg4", "yuv420p"), ("libsvtav1", "yuv420p")),
    ".mov": (("libx264", "yuv420p"), ("mjpeg", "yuvj420p"), ("prores_ks", "yuv422p10le"), ("qtrle", "rgb24")),
    ".mkv": (("libx264", "yuv422p"), ("ffv1", "yuv420p"), ("mpeg2video", "yuv420p"), ("libx264", "yuv420p10le")),
    ".webm": (("libvpx", "yuv420p"), ("libvpx-vp9", "yuv420p")),
    ".avi": (("mpeg4", "yuv420p"), ("mjpeg", "yuvj420p"), ("huffyuv", "yuv422p"), ("libx264", "yuv420p")),
    ".ts": (("mpeg2video", "yuv420p"), ("libx264", "yuv420p")),
    ".mpg": (("mpeg1video", "yuv420p"), ("mpeg2video", "yuv420p")),
    ".flv": (("flv", "yuv420p"), ("libx264", "yuv420p")),
    ".y4m": (("wrapped_avframe", "yuv420p"),),
    ".gif": (("gif", "rgb8"),),
}
"""Suffix -> codecs and formats of pixels."""
FORMATS = {".mkv": "matroska", ".ts": "mpegts", ".mpg": "mpeg", ".y4m": "yuv4mpegpipe"}
SPEED = {
    "libx264": {"preset": "ultrafast"},
    "libsvtav1": {"preset": "11", "svtav1-params": "lp=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}
INTERLACED = ("libx264", "mpeg2video", "mpeg4", "prores_ks")
TIMED = (".mp4", ".mov", ".mkv", ".webm")
"""Containers that keep any time of a frame."""
TURNING = (".mp4", ".mov")
JOINED = (".ts", ".mpg")
SOUND = {".mp4": "aac", ".mov": "aac", ".mkv": "aac", ".webm": "libopus", ".avi": "mp2", ".ts": "mp2", ".mpg": "mp2",
         ".flv": "aac"}  # fmt: skip
ASPECTS = (Fraction(16, 15), Fraction(64, 45), Fraction(8, 9), Fraction(10, 11), Fraction(4, 3), Fraction(3, 4),
           Fraction(2), Fraction(1, 2), Fraction(40, 33), Fraction(1001, 1000), Fraction(9), Fraction(1))  # fmt: skip
RATE = 25


@dataclass(frozen=True)
class Film:
    """``still``: how many frames in a row are alike. ``steps``: frames from one to the next in time."""

    suffix: str
    codec: str
    pixels: str
    size: tuple[int, int] = (128, 96)
    count: int = 8
    still: int = 1
    aspect: Fraction | None = None
    turn: tuple[int, bool] = (0, False)
    interlaced: bool = False
    between: bool = False
    steps: tuple[int, ...] = (1,)
    start: int = 0
    sound: float = 0.0
    fragments: bool = False


def draw_film(draw: random.Random, suffixes: tuple[str, ...] = tuple(CODECS)) -> Film:
    suffix = draw.choice(suffixes)
    codec, pixels = draw.choice(CODECS[suffix])
    film = Film(suffix, codec, pixels, draw.choice(((128, 96), (96, 128), (130, 98), (66, 64))), draw.choice((1, 5, 8)))
    if codec == "libsvtav1":
        film = replace(film, size=(128, 96))
    if draw.random() < 0.4:
        film = replace(film, aspect=draw.choice(ASPECTS))
    if suffix in TURNING and draw.random() < 0.4:
        film = replace(film, turn=(draw.choice((0, 90, 180, 270, 90, 270, 45)), draw.random() < 0.3))
    if codec in INTERLACED and draw.random() < 0.25:
        film = replace(film, interlaced=True, size=(128, 96))
    if suffix in TIMED and draw.random() < 0.3:
        film = replace(film, steps=tuple(draw.choice((1, 1, 2, 7, 50)) for _ in range(film.count)))
    if suffix in TIMED and draw.random() < 0.2:
        film = replace(film, start=draw.choice((1, 10, 200)))
    if suffix in SOUND and draw.random() < 0.25:
        film = replace(film, sound=draw.choice((0.2, 1.0, 3.0)))
    if draw.random() < 0.2:
        film = replace(film, still=draw.choice((2, 3, 20)))
    return replace(film, between=draw.random() < 0.3, fragments=suffix in TURNING and draw.random() < 0.15)


def write(film: Film, face: np.ndarray) -> bytes:
    """A face on its way over a grey ground."""
    import av

    options = dict(SPEED.get(film.codec, {}))
    if film.between and film.codec in ("libx264", "mpeg4", "mpeg2video"):
        options["bf"] = "2"
    if film.interlaced:
        options |= {"x264-params": "interlaced=1"} if film.codec == "libx264" else {"flags": "+ildct+ilme"}
    muxing = {"movflags": "frag_keyframe+empty_moov"} if film.fragments else {}
    file = io.BytesIO()
    made: Any
    with av.open(file, "w", format=FORMATS.get(film.suffix, film.suffix[1:]), options=muxing) as made:
        stream = made.add_stream(film.codec, rate=RATE, options=options)
        (stream.width, stream.height), stream.pix_fmt = film.size, film.pixels
        stream.codec_context.thread_count = 1
        sound = made.add_stream(SOUND[film.suffix], rate=48_000) if film.sound else None
        if film.aspect:
            stream.codec_context.sample_aspect_ratio = film.aspect
        if film.turn != (0, False):
            stream.set_display_rotation(film.turn[0], hflip=film.turn[1])
        at = film.start
        for number in range(film.count):
            frame = av.VideoFrame.from_ndarray(_picture(face, film.size, number // film.still), format="bgr24")
            frame.pts, frame.time_base = at, Fraction(1, RATE)
            made.mux(stream.encode(frame))
            at += film.steps[number % len(film.steps)]
        if sound:
            for packet in _silence(sound, film.sound):
                made.mux(packet)
        made.mux(stream.encode(None))
    return file.getvalue()


def _picture(face: np.ndarray, size: tuple[int, int], number: int) -> np.ndarray:
    width, height = size
    image = np.full((height, width, 3), 90, np.uint8)
    part = np.roll(face, 5 * number, axis=1)[:height, :width]
    image[: len(part), : part.shape[1]] = part
    return image


def _silence(stream: Any, seconds: float) -> list[Any]:
    import av

    mp2 = stream.codec_context.name == "mp2"
    form, size = ("s16", 1152) if mp2 else ("fltp", 1024)
    packets = []
    for i in range(round(seconds * 48_000 / size)):
        shape = (1, 2 * size) if mp2 else (2, size)
        quiet = av.AudioFrame.from_ndarray(np.zeros(shape, np.int16 if mp2 else np.float32), form, layout="stereo")
        quiet.sample_rate, quiet.pts, quiet.time_base = 48_000, i * size, Fraction(1, 48_000)
        packets += stream.encode(quiet)
    return packets + stream.encode(None)


def edit(data: bytes, draw: random.Random) -> bytes:
    """Another edit list of an MP4 that has one: it begins later, or ends earlier."""
    place = data.find(b"elst") + 12
    if place < 12 or len(data) < place + 12:
        return data
    duration, start = struct.unpack_from(">Ii", data, place)
    changed = bytearray(data)
    new = (max(1, duration - draw.choice((0, 40, 120))), max(0, start) + draw.choice((0, 1, 512, 1536)))
    struct.pack_into(">Ii", changed, place, *new)
    return bytes(changed)


def damage(data: bytes, draw: random.Random) -> bytes:
    """Cut off, or spoiled in another way."""
    if draw.random() < 0.3:
        return data[: draw.randrange(len(data))]
    return spoil(data, draw, [(".any", data)])
