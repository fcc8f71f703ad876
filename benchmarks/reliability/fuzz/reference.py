"""What other decoders make of a file, and whether mien read the same.

Stills are read by Pillow, films by PyAV. Where these fail, or speak of damage, there is nothing to compare with: two
decoders may rightly differ in what they save of a damaged file.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from mien.sources.factory import open_source
from mien.types import Image as Pixels

try:
    import pillow_heif

    pillow_heif.register_heif_opener()
except ImportError:  # HEIC is then not compared
    pass

MEAN, BLOCK = 4.0, 24.0
"""Grey levels by which two readings may differ: in the mean, and in the mean of any 8 x 8 px. Lying or mirrored
pictures of the fuzzer differ by 20 and more."""
LATE = 0.02
"""Seconds by which times may differ; Matroska and FLV round them to 1 ms, and MPEG to its clock."""
LARGE = 2**22
"""Pixels above which damaged headers are not followed."""
DAMAGE = ("corrupt", "truncat", "invalid", "damaged", "conceal", "missing", "overread", "partial", "unexpected")


class Wrong(AssertionError):
    """A picture was read, and not as it is."""


@dataclass(frozen=True)
class Shown:
    """A frame as it is to be seen, uint8 BGR (H, W, 3); its time in s, or None where that is not compared; the shape
    of its pixels, which are stretched by the comparison."""

    image: Pixels
    time: float | None = None
    aspect: float = 1.0


def still(data: bytes) -> list[Shown] | None:
    """All pictures of a file as Pillow reads them, upright and over white; None where it cannot, and for a GIF behind a
    GIF, of which Pillow reads the first alone and FFmpeg both."""
    if data.count(b"GIF8") > 1:
        return None
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as file:
            warnings.simplefilter("error")
            if file.width * file.height > LARGE:
                return None
            found = []
            for number in range(getattr(file, "n_frames", 1)):
                file.seek(number)
                file.load()
                image = _levels(ImageOps.exif_transpose(file))
                if image is None:
                    return None
                found.append(Shown(image))
            return found
    except Exception:  # what Pillow raises for broken files is of any class
        return None


def _levels(image: Image.Image) -> Pixels | None:
    if image.mode.startswith("I;16"):
        return cv2.cvtColor(np.round(np.asarray(image) / 257).astype(np.uint8), cv2.COLOR_GRAY2BGR).astype(np.uint8)
    if image.mode in ("I", "F"):  # it is not known what is white
        return None
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return np.ascontiguousarray(np.asarray(white.convert("RGB"))[..., ::-1])


def film(path: Path) -> list[Shown] | None:
    """All frames of a video as PyAV reads them, upright; None where it cannot, or speaks of damage."""
    import av

    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture(local=False) as log, av.open(str(path)) as container:
            stream: Any = container.streams.best("video")
            stream.thread_count = 1
            if stream.width * stream.height > LARGE:
                return None
            start: float | None = None
            found = []
            for frame in container.decode(stream):
                turn = _turning(frame)
                aspect = float(stream.sample_aspect_ratio or 0) or 1.0
                if frame.is_corrupt or turn is None or not 0.25 <= aspect <= 4:
                    return None
                image = turn(np.asarray(frame.to_ndarray(format="bgr24")))
                swapped = image.shape[:2] != (frame.height, frame.width)
                start = frame.time if start is None else start
                time = None if start is None or frame.time is None else frame.time - start
                found.append(Shown(np.ascontiguousarray(image), time, 1 / aspect if swapped else aspect))
    except Exception:  # as above
        return None
    finally:
        av.logging.set_level(None)
    errors = [text for level, _, text in log if level <= av.logging.ERROR or any(it in text.lower() for it in DAMAGE)]
    return None if errors else found or None


def _turning(frame: Any) -> Callable[[np.ndarray], np.ndarray] | None:
    """What the display matrix of a frame does with its pixels; None where it is no quarter turn or mirror."""
    matrix = next((bytes(data) for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return lambda image: image
    a, b, _, c, d = struct.unpack_from("5i", matrix)
    if max(abs(b), abs(c)) < 0.01 * min(abs(a), abs(d)):
        return lambda image: image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    if max(abs(a), abs(d)) < 0.01 * min(abs(b), abs(c)):
        return lambda image: image.transpose(1, 0, 2)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
    return None


def check_source(
    path: Path | str, expected: list[Shown] | None, *, times: bool = False, besides: Collection[int] = ()
) -> bool:
    """Read ``path`` with mien to its end, and compare all but the frames ``besides``. Returns whether there was
    something to compare with.

    Raises:
        Wrong: other frames than ``expected``.
        MienError: mien refuses it.
    """
    with open_source(path) as source:
        check_frames([(frame.image, frame.time) for frame in source], expected, times=times, besides=besides)
    return expected is not None


def check_frames(
    frames: list[tuple[Pixels, float]],
    expected: list[Shown] | None,
    *,
    times: bool = False,
    besides: Collection[int] = (),
) -> None:
    for image, _ in frames:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise Wrong(f"a frame is {image.dtype} {image.shape}")
    if expected is None:
        return
    if len(frames) != len(expected):
        raise Wrong(f"read {len(frames)} frames of {len(expected)}")
    for number, ((image, time), other) in enumerate(zip(frames, expected, strict=True)):
        if number in besides:
            continue
        if words := "; ".join(_differences(image, other)):
            raise Wrong(f"frame {number} of {len(frames)}: {words}")
        if times and other.time is not None and abs(time - other.time) > LATE:
            raise Wrong(f"frame {number} of {len(frames)} is at {time:.3f} s and belongs at {other.time:.3f} s")


def _differences(image: Pixels, other: Shown) -> Iterator[str]:
    height, width = image.shape[:2]
    high, wide = other.image.shape[:2]
    aspect = other.aspect if abs(other.aspect - 1) >= 0.01 else 1.0
    # One side stays as it was, and the other grows.
    expected = (round(wide * aspect), high) if aspect > 1 else (wide, round(high / aspect))
    if abs(width - expected[0]) > (aspect != 1) or abs(height - expected[1]) > (aspect != 1):
        yield f"{width} x {height} px instead of {expected[0]} x {expected[1]}"
        return
    like = other.image if aspect == 1 else np.asarray(Image.fromarray(other.image).resize((width, height), 2))
    off = cv2.absdiff(image, like).astype(np.float32).mean(axis=2)
    if off.mean() > MEAN:
        yield f"pixels are off by {off.mean():.1f} in the mean"
    elif (worst := cv2.blur(off, (8, 8)).max()) > BLOCK:
        yield f"an area is off by {worst:.1f}"
