"""No frame that a decoder did not write, and what OpenCV cannot read is read by PyAV or refused."""

from __future__ import annotations

import http.server
import importlib
import os
import subprocess
import sys
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from made_videos import flag_interlaced, moving, write

from mien.errors import SourceError
from mien.sources.decoders import REMEDY, Decoder
from mien.sources.decoders.opencv import CvDecoder, Unwritten
from mien.sources.decoders.unwritten import TRUSTED_REPEATS, can_fill, filled_memory, is_filled
from mien.sources.factory import open_source
from mien.sources.live import Live
from mien.types import Image

av = pytest.importorskip("av")

CLOSE = 1.5
"""Mean difference of the gray levels of two conversions of one frame."""


def reference(path: Path) -> list[Image]:
    """The frames as PyAV gives them."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def read(path: Path) -> tuple[str | None, list[Image]]:
    with open_source(path) as source:
        return source.decoder, [frame.image for frame in source]


def check_frames(images: list[Image], expected: list[Image]) -> None:
    assert [image.shape for image in images] == [image.shape for image in expected]
    for image, other in zip(images, expected, strict=True):
        assert np.abs(image.astype(int) - other).mean() < CLOSE


def read_or_refusal(path: Path) -> tuple[list[Image], str]:
    """What is read, or else the words of the refusal: versions of OpenCV differ in what they can read."""
    try:
        return read(path)[1], ""
    except SourceError as error:
        return [], str(error)


def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "mien.sources.decoders.pyav", raising=False)


INTERLACED: list[tuple[str, dict[str, Any]]] = [
    ("h264.mp4", {}),
    ("h264.mkv", {}),
    ("h264.ts", {}),
    ("h264.flv", {}),
    ("mpeg2.mpg", {"codec": "mpeg2video"}),
    ("mpeg2.ts", {"codec": "mpeg2video"}),
    ("mpeg2.vob", {"codec": "mpeg2video"}),
    ("mpeg4.avi", {"codec": "mpeg4"}),
    ("prores.mov", {"codec": "prores_ks", "pixels": "yuv422p10le"}),
    ("ten.mkv", {"pixels": "yuv420p10le"}),
    ("444.mkv", {"pixels": "yuv444p"}),
]


@pytest.mark.parametrize(("name", "how"), INTERLACED)
def test_interlaced_video_is_read(tmp_path: Path, portrait: Image, name: str, how: dict[str, Any]) -> None:
    path = write(tmp_path / name, moving(portrait, 12), interlaced=True, **how)
    read(write(tmp_path / "other.mp4", [255 - image for image in moving(portrait, 12)]))  # what memory may still hold
    _, images = read(path)
    check_frames(images, reference(path))


@pytest.mark.parametrize("container", [".mp4", ".avi"])
def test_interlaced_mpeg4_of_pictures_in_between(tmp_path: Path, portrait: Image, container: str) -> None:
    """FFmpeg spoils a part of some frames where its threads decode several at a time."""
    face = cv2.resize(portrait[:256, 96:352], (96, 96), interpolation=cv2.INTER_AREA)
    images = [np.roll(face, 5 * i, axis=1) for i in range(20)]
    path = write(tmp_path / f"a{container}", images, codec="mpeg4", interlaced=True, options={"bf": "2"})
    decoder = importlib.import_module("mien.sources.decoders.pyav").AvDecoder(str(path), "a", 10.0)
    decoded = [decoder.read() for _ in images]
    decoder.release()
    with av.open(str(path)) as made:
        made.streams.video[0].thread_type = "NONE"
        for got, frame in zip(decoded, made.decode(video=0), strict=True):
            assert np.array_equal(got.image, frame.to_ndarray(format="bgr24"))


def test_a_codec_that_nobody_knows(tmp_path: Path, portrait: Image) -> None:
    path = write(tmp_path / "a.mp4", moving(portrait, 3))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xyz1"))
    with pytest.raises(SourceError, match="codec"):
        read(path)


def test_interlaced_video_is_refused_without_the_second_decoder(
    tmp_path: Path, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp4", moving(portrait, 12), interlaced=True)
    expected = reference(path)
    without_pyav(monkeypatch)
    images, refusal = read_or_refusal(path)
    if refusal:
        assert REMEDY in refusal
        assert "interlaced" in refusal
    else:
        check_frames(images, expected)


MIXED = {
    "every second": [False, True],
    "two of three": [False, True, True],
    "from the middle": [False] * 20 + [True] * 20,
    "none": [False],
    "the first": [True] + [False] * 39,
}


@pytest.mark.parametrize("marks", MIXED.values(), ids=list(MIXED))
@pytest.mark.parametrize("second", [True, False], ids=["pyav", "alone"])
def test_frames_of_both_kinds(
    tmp_path: Path, portrait: Image, marks: list[bool], second: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.m2v", moving(portrait, 40), codec="mpeg2video", options={"bf": "0"})
    flag_interlaced(path, marks)
    expected = reference(path)
    if not second:
        without_pyav(monkeypatch)
    images, refusal = read_or_refusal(path)
    if refusal:
        assert not second
        assert any(marks)
        assert REMEDY in refusal
    else:
        check_frames(images, expected)


def test_a_standstill_that_becomes_interlaced(tmp_path: Path, portrait: Image) -> None:
    """Where real repetitions were seen, those that follow are still not taken for real."""
    images = moving(portrait, 40)
    images = [*images[:20], *[images[19]] * 30, *images[:10], *images]
    path = write(tmp_path / "a.m2v", images, codec="mpeg2video", options={"bf": "0"})
    flag_interlaced(path, [False] * 60 + [True] * 40)
    check_frames(read(path)[1], reference(path))


UNIFORM = {"black": 0, "white": 255, "like the fill": 0xAC, "like the other fill": 0x4D}


@pytest.mark.parametrize("level", UNIFORM.values(), ids=list(UNIFORM))
def test_a_uniform_picture_is_a_picture(tmp_path: Path, level: int) -> None:
    image = np.full((120, 160, 3), level, np.uint8)
    path = write(tmp_path / "a.avi", [image] * 8, codec="rawvideo", pixels="bgr24")
    decoder, images = read(path)
    assert decoder == "OpenCV"
    check_frames(images, [image] * 8)


def test_pictures_that_stand_still_are_read_as_they_are(tmp_path: Path, portrait: Image) -> None:
    first, second, *rest = moving(portrait, 6)
    slides = [first] * 30 + [second] * (TRUSTED_REPEATS + 3) + [image for image in rest for _ in range(3)] + [first] * 2
    path = write(tmp_path / "a.mp4", slides)
    decoder, images = read(path)
    assert decoder == "OpenCV"
    check_frames(images, reference(path))


class Idle:
    """Stands in for a capture that says it reads, and leaves its buffer as the allocator gave it. From ``works`` on it
    writes the number of the frame."""

    def __init__(self, works: int | None = None, frames: int = 20):
        self.works, self.frames, self.at = works, frames, -1
        self.buffer: np.ndarray | None = None

    def grab(self) -> bool:
        self.at += 1
        return self.at < self.frames

    def retrieve(self) -> tuple[bool, np.ndarray]:
        if self.buffer is None:
            self.buffer = np.empty((200, 300, 3), np.uint8)
        if self.works is not None and self.at >= self.works:
            self.buffer[:] = self.at
        return True, self.buffer.copy()

    def read(self) -> tuple[bool, np.ndarray | None]:
        return self.retrieve() if self.grab() else (False, None)

    def get(self, what: int) -> float:
        return 0.0

    def set(self, what: int, value: float) -> bool:
        self.at = int(value) - 1
        return True

    def isOpened(self) -> bool:
        return True

    def getBackendName(self) -> str:
        return "FFMPEG"

    def release(self) -> None:
        pass


@pytest.mark.parametrize("fills", [True, False], ids=["glibc", "another allocator"])
def test_a_buffer_that_nobody_writes_to(fills: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if fills and not can_fill():
        pytest.skip("this allocator cannot fill")
    monkeypatch.setattr("mien.sources.decoders.opencv.can_fill", lambda: fills)
    for works in (None, 1):
        if works is None or fills:
            with pytest.raises(Unwritten):
                CvDecoder(Idle(works), "idle", lambda works=works: Idle(works)).read()  # type: ignore[misc,arg-type,return-value]
    busy = CvDecoder(Idle(0), "busy", lambda: Idle(0))  # type: ignore[arg-type,return-value]
    levels = []
    while decoded := busy.read():
        levels.append(int(decoded.image[0, 0, 0]))
    assert levels == list(range(20))


@pytest.mark.skipif(not can_fill(), reason="this allocator cannot fill")
def test_new_memory_is_filled_and_zeros_stay_zeros() -> None:
    with filled_memory(0x33):
        assert is_filled(np.empty((300, 400, 3), np.uint8), 0x33)
        assert not np.zeros((300, 400, 3), np.uint8).any()
    with filled_memory(0xC5):
        assert is_filled(np.empty((301, 400, 3), np.uint8), 0xC5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_can_open_videos_too(tmp_path: Path, portrait: Image) -> None:
    """Also one that is forked while another thread opens one."""
    path = write(tmp_path / "a.mp4", moving(portrait, 3))
    code = (
        "import os, sys, threading, time\n"
        "from mien.sources.decoders.unwritten import filled_memory\n"
        "from mien.sources.factory import open_source\n"
        "def hold():\n"
        "    with filled_memory(1): time.sleep(0.3)\n"
        "threading.Thread(target=hold).start()\n"
        "time.sleep(0.1)\n"
        "child = os.fork()\n"
        "with open_source(sys.argv[1]) as source: assert len(list(source)) == 3\n"
        "if child: sys.exit(os.waitpid(child, 0)[1])\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(path)], timeout=30, check=False)
    assert done.returncode == 0


def test_a_stream_whose_frames_are_not_written(tmp_path: Path, portrait: Image) -> None:
    """A live source, too, goes over to the second decoder."""
    from mien.sources.connections import watch

    path = write(tmp_path / "a.ts", moving(portrait, 30), interlaced=True)

    def connect() -> cv2.VideoCapture:
        return Idle()  # type: ignore[return-value]

    shots = watch(connect, "stream", address=str(path))
    found = [shot for shot in shots if shot]
    assert {shot.decoder for shot in found} == {"PyAV"}
    check_frames([shot.image for shot in found], reference(path))
    with Live("stream", lambda: watch(connect, "stream", address=str(path))) as source:
        assert source.decoder == "PyAV"


def test_interlaced_video_on_a_server(tmp_path: Path, portrait: Image) -> None:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **rest: object) -> None:
            super().__init__(*args, directory=str(tmp_path), **rest)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    paths = [
        write(tmp_path / "a.mp4", moving(portrait, 12), interlaced=True, container_options={"movflags": "faststart"}),
        write(tmp_path / "late.m2v", moving(portrait, 30), codec="mpeg2video", options={"bf": "0"}),
    ]
    flag_interlaced(paths[1], [False] * 20 + [True] * 10)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for path in paths:
            with open_source(f"http://127.0.0.1:{server.server_port}/{path.name}") as source:
                check_frames([frame.image for frame in source], reference(path))
        server.shutdown()


def test_a_loop_of_interlaced_video(tmp_path: Path, portrait: Image) -> None:
    path = write(tmp_path / "a.mp4", moving(portrait, 4), interlaced=True, rate=50)
    expected = reference(path)
    with open_source(path, loop=True) as source:
        for frame, _ in zip(source, range(6), strict=False):
            assert min(np.abs(frame.image.astype(int) - image).mean() for image in expected) < CLOSE


def test_a_codec_that_opencv_lacks(tmp_path: Path, portrait: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", moving(portrait, 6), codec="libsvtav1")
    expected = reference(path)
    check_frames(read(path)[1], expected)
    without_pyav(monkeypatch)
    images, refusal = read_or_refusal(path)
    if refusal:
        assert "av01" in refusal.lower()
        assert REMEDY in refusal
        assert "camera" not in refusal
    else:
        check_frames(images, expected)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("aspect", "stored", "size"),
    [
        ((4, 3), (240, 180), (320, 180)),
        ((8, 9), (270, 180), (270, 202)),
        ((1280, 1279), (240, 180), (240, 180)),
        ((1, 1), (240, 180), (240, 180)),
    ],
)
def test_pixels_that_are_not_square(
    tmp_path: Path,
    portrait: Image,
    codec: str,
    interlaced: bool,
    aspect: tuple[int, int],
    stored: tuple[int, int],
    size: tuple[int, int],
) -> None:
    path = tmp_path / "a.mkv"
    write(path, moving(portrait, 3, stored), codec=codec, interlaced=interlaced, aspect=Fraction(*aspect))
    with open_source(path) as source:
        assert source.size == size
        assert {frame.image.shape for frame in source} == {(*size[::-1], 3)}
    with open_source(path, loop=True) as source:
        assert source.size == size


def test_pixels_of_an_impossible_shape_are_refused(tmp_path: Path, portrait: Image) -> None:
    path = write(tmp_path / "a.mkv", moving(portrait, 3), aspect=Fraction(20, 1))
    with pytest.raises(SourceError, match="setsar=1"):
        open_source(path)


@pytest.mark.parametrize("suffix", ["ts", "mpg", "m2v"])
def test_programs_of_other_shapes_behind_one_another(tmp_path: Path, portrait: Image, suffix: str) -> None:
    """As in broadcasts. OpenCV squeezes all frames into the size of the first."""
    parts, options = [], {"bf": "0"}
    for number, (size, aspect) in enumerate([((320, 240), (1, 1)), ((240, 160), (1, 1)), ((240, 160), (32, 27))]):
        path = tmp_path / f"{number}.{suffix}"
        write(path, moving(portrait, 15, size), codec="mpeg2video", options=options, aspect=Fraction(*aspect))
        parts.append(path.read_bytes())
    (tmp_path / f"all.{suffix}").write_bytes(b"".join(parts))
    sizes = [image.shape[1::-1] for image in read(tmp_path / f"all.{suffix}")[1]]
    assert len(sizes) > 40
    assert (sizes[5], sizes[20]) == ((320, 240), (240, 160))
    assert sizes[-5] == (284, 160)


def test_a_title_that_is_no_utf8(tmp_path: Path, portrait: Image) -> None:
    with av.open(str(tmp_path / "a.webm"), "w") as made:
        made.metadata["title"] = "caf-caf-caf"
        stream = made.add_stream("libvpx", rate=24)
        stream.width, stream.height = 160, 120
        for image in [*moving(portrait, 5, (160, 120))]:
            made.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        made.mux(stream.encode(None))
    data = (tmp_path / "a.webm").read_bytes()
    assert b"caf-caf-caf" in data
    (tmp_path / "a.webm").write_bytes(data.replace(b"caf-caf-caf", b"caf\xff\xfecaf\xffcaf"[:11]))
    assert len(read(tmp_path / "a.webm")[1]) == 5


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx"), ("a.webm", "libvpx-vp9"), ("a.flv", "libx264")])
def test_a_recorded_call_changes_its_size(tmp_path: Path, portrait: Image, name: str, codec: str) -> None:
    """As a browser records a phone that is turned. OpenCV squeezes what comes after that."""
    sizes = ((160, 120), (120, 160))
    with av.open(str(tmp_path / name), "w") as made:
        stream: Any = made.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuv420p"
        for start, size in zip((0, 10), sizes, strict=True):
            encoder: Any = av.CodecContext.create(codec, "w")
            encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
            encoder.time_base, encoder.framerate = Fraction(1, 25), 25
            packets = []
            for number, image in enumerate(moving(portrait, 10, size)):
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = start + number, Fraction(1, 25)
                packets += encoder.encode(frame)
            for packet in packets + encoder.encode(None):
                packet.stream = stream
                made.mux(packet)
    images = read(tmp_path / name)[1]
    assert [image.shape[1::-1] for image in images] == [size for size in sizes for _ in range(10)]


def test_a_damaged_transport_stream_is_read_as_far_as_it_goes(tmp_path: Path, portrait: Image) -> None:
    path = write(tmp_path / "a.ts", moving(portrait, 60), options={"g": "10"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    assert 10 < len(read(path)[1]) < 50


def test_no_frames_are_left_out_where_the_decoder_changes(tmp_path: Path, portrait: Image) -> None:
    path = write(tmp_path / "a.m2v", moving(portrait, 30), codec="mpeg2video", options={"bf": "0"})
    flag_interlaced(path, [False] * 10 + [True] * 20)
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) == 30
    assert all(a.time < b.time for a, b in pairwise(frames))


def test_a_decoder_of_a_camera_has_no_second(portrait: Image) -> None:
    decoder = Decoder(Idle(0, 2), "camera 0", live=True)  # type: ignore[arg-type]
    assert decoder.name == "OpenCV"
    assert decoder.read()
    assert decoder.read()
    assert decoder.read() is None
