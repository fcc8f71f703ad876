"""What the second decoder costs: frames a second of PyAV and of OpenCV, which read each clip in turn.

    python -m benchmarks.reliability.decoders [CLIP ...] [--turns 7]

Without CLIP clips are drawn: H.264 in three sizes, HEVC, VP9 and MPEG-2, of a portrait that moves over noise. Both
decoders run as mien runs them, with all that is done to a frame before it is handed out, and beside them OpenCV alone.
The frames of both must be the same. Writes ``benchmarks/results/decoders.json``.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.common import add_out, command_parser, heading, in_turn, write_report
from mien.engines.cores import usable_cores
from mien.sources.decoders import TIMEOUT_SECONDS, open_capture
from mien.sources.decoders.opencv import CvDecoder
from mien.sources.decoders.pyav import AvDecoder
from mien.sources.demo import demo_picture
from mien.sources.video import quiet_opencv

DRAWN = {
    "H.264 640x360": ("libx264", (640, 360)),
    "H.264 1280x720": ("libx264", (1280, 720)),
    "H.264 1920x1080": ("libx264", (1920, 1080)),
    "HEVC 1280x720": ("libx265", (1280, 720)),
    "VP9 1280x720": ("libvpx-vp9", (1280, 720)),
    "MPEG-2 720x576": ("mpeg2video", (720, 576)),
}


def main() -> None:
    parser = command_parser("reliability.decoders", __doc__)
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--frames", type=int, default=150, help="of the clips that are drawn")
    add_out(parser, "decoders.json")
    args = parser.parse_args()
    quiet_opencv()
    with tempfile.TemporaryDirectory() as folder:
        clips = {clip.name: clip for clip in args.clips}
        if not clips:
            clips = {name: draw(Path(folder), *how, args.frames) for name, how in DRAWN.items()}
        rows = {name: compare(clip, args.turns) for name, clip in clips.items()}
    report = {
        **heading(parser.prog + "".join(f" {clip.name}" for clip in args.clips), "av"),
        "cores": usable_cores(),
        "MB that PyAV takes": installed("av"),
        "clips": rows,
    }
    write_report(args.out, report)
    print(json.dumps(report, indent=1))


def compare(clip: Path, turns: int) -> dict[str, Any]:
    """Medians over the turns. The ratio is taken turn by turn, whose order changes each time."""
    ways: dict[str, Callable[[], Iterator[np.ndarray]]] = {
        "OpenCV": lambda: read(CvDecoder(open_capture(str(clip)), clip.name, lambda: open_capture(str(clip)))),
        "PyAV": lambda: read(AvDecoder(str(clip), clip.name, TIMEOUT_SECONDS)),
        "OpenCV alone": lambda: bare(clip),
    }
    frames, difference = same(ways["OpenCV"](), ways["PyAV"]())
    works = {name: partial(exhaust, way) for name, way in ways.items()}
    taken = in_turn(works, turns, warm_up=0, rotate=True)
    rates = {name: [frames / seconds for seconds in values] for name, values in taken.items()}
    return {
        "frames": frames,
        "largest difference of a grey level": difference,
        "frames/s": {way: round(statistics.median(values), 1) for way, values in rates.items()},
        "PyAV over OpenCV": ratio(rates["PyAV"], rates["OpenCV"]),
        "OpenCV as mien reads it over OpenCV alone": ratio(rates["OpenCV"], rates["OpenCV alone"]),
    }


def exhaust(frames: Callable[[], Iterator[np.ndarray]]) -> None:
    for _ in frames():
        pass


def ratio(values: list[float], others: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(values, others, strict=True)), 3)


def read(decoder: CvDecoder | AvDecoder) -> Iterator[np.ndarray]:
    try:
        while decoded := decoder.read():
            yield decoded.image
    finally:
        decoder.release()


def bare(clip: Path) -> Iterator[np.ndarray]:
    capture = open_capture(str(clip))
    while (got := capture.read())[0]:
        yield np.asarray(got[1])


def same(ours: Iterator[np.ndarray], theirs: Iterator[np.ndarray]) -> tuple[int, int]:
    """How many frames there are, and the largest difference of a value. An error where one decoder has more."""
    count, most = 0, 0
    for one, other in zip(ours, theirs, strict=True):
        count, most = count + 1, max(most, int(cv2.absdiff(one, other).max()))
    if not count:
        raise SystemExit("a clip has no frame")
    return count, most


def draw(folder: Path, codec: str, size: tuple[int, int], frames: int) -> Path:
    width, height = size
    portrait = cv2.resize(cv2.imread(str(demo_picture())), (height, height))
    noise = np.random.default_rng(0).integers(0, 30, (height, width, 3), np.uint8)
    path = folder / f"{codec}-{width}.mkv"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            image = np.roll(noise, i * 7, axis=1) + 90
            left = i * 3 % (width - height)
            image[:, left : left + height] = portrait
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def installed(name: str) -> float:
    files = distribution(name).files or []
    return round(sum(Path(str(file.locate())).stat().st_size for file in files if file.locate().exists()) / 1e6, 1)


if __name__ == "__main__":
    main()
