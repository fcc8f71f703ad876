"""Interlaced video, whole or in part, is read by PyAV or refused."""

from __future__ import annotations

import http.server
import importlib
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from decoded_videos import CLOSE, check_frames, read, read_or_refusal, reference, without_pyav
from made_videos import flag_interlaced, moving, write

from mien.sources.decoders import REMEDY
from mien.sources.factory import open_source
from mien.types import Image

av = pytest.importorskip("av")

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


def test_no_frames_are_left_out_where_the_decoder_changes(tmp_path: Path, portrait: Image) -> None:
    path = write(tmp_path / "a.m2v", moving(portrait, 30), codec="mpeg2video", options={"bf": "0"})
    flag_interlaced(path, [False] * 10 + [True] * 20)
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) == 30
    assert all(a.time < b.time for a, b in pairwise(frames))
