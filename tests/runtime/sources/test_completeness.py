"""Warnings of a damaged end: of files that are cut, and of no others. Which way up a film is."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_videos import moving, write

from mien.errors import SourceError
from mien.sources.factory import open_source
from mien.sources.mp4_index import mirrored_turn
from mien.types import Image

av = pytest.importorskip("av")

CONTAINERS: dict[str, dict[str, Any]] = {
    "mp4": {"container_options": {"movflags": "faststart"}},
    "mov": {"container_options": {"movflags": "faststart"}},
    "mkv": {},
    "webm": {"codec": "libvpx"},
    "avi": {"codec": "mpeg4"},
    "flv": {},
    "wmv": {"codec": "wmv2"},
    "ts": {},
    "mpg": {"codec": "mpeg2video"},
}
ENDLESS = ("ts", "mpg")
"""Formats that may end anywhere, and do not say how long they are."""
SOUNDLESS = ("webm", "wmv", "mpg")
"""Here without sound: these take other codecs."""


def read(path: Path) -> list[Image]:
    with open_source(path) as source:
        return [frame.image for frame in source]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_whole_files_are_not_called_damaged(
    tmp_path: Path, portrait: Image, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    how = CONTAINERS[suffix]
    images = moving(portrait, 12)
    sound = 0.0 if suffix in SOUNDLESS else 2.0
    assert len(read(write(tmp_path / f"sound.{suffix}", images, sound=sound, **how))) == 12
    assert len(read(write(tmp_path / f"late.{suffix}", images, sound=sound / 4, start=75, **how))) == 12
    assert not caplog.records


@pytest.mark.parametrize("suffix", [suffix for suffix in CONTAINERS if suffix not in ENDLESS])
@pytest.mark.parametrize("zeros", [False, True], ids=["cut", "never filled"])
def test_damaged_files_are(
    tmp_path: Path, portrait: Image, suffix: str, zeros: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / f"a.{suffix}", moving(portrait, 60), options={"g": "10"}, **CONTAINERS[suffix])
    data = path.read_bytes()
    keep = len(data) * 2 // 3
    path.write_bytes(data[:keep] + bytes(zeros * (len(data) - keep)))
    frames = read(path)
    assert len(frames) < 58
    (record,) = caplog.records
    assert f"read {len(frames)} " in record.getMessage()
    assert "its end is damaged or cut off" in record.getMessage()


def test_an_edit_list_leaves_frames_out(tmp_path: Path, portrait: Image, caplog: pytest.LogCaptureFixture) -> None:
    """As where a telephone trims a film: what comes before its new beginning stays in the file."""
    path = write(tmp_path / "whole.mp4", moving(portrait, 50), options={"g": "50", "bf": "0"})
    with av.open(str(path)) as source, av.open(str(tmp_path / "trimmed.mp4"), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.pts -= round(1 / stream.time_base)
                packet.dts -= round(1 / stream.time_base)
                packet.stream = copy
                out.mux(packet)
    assert len(read(tmp_path / "trimmed.mp4")) == 25
    assert not caplog.records


MATRICES: dict[str, tuple[tuple[int, int, int, int], Callable[[Image], Image]]] = {
    "as it is": ((1, 0, 0, 1), lambda image: image),
    "a quarter": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "half": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "three quarters": ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    "transposed the other way": ((0, -1, -1, 0), lambda image: np.rot90(image.transpose(1, 0, 2), 2)),
}


def with_matrix(path: Path, matrix: tuple[float, float, float, float]) -> None:
    data = bytearray(path.read_bytes())
    a, b, c, d = (round(value * 65536) for value in matrix)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("aspect", [None, Fraction(4, 3)])
@pytest.mark.parametrize(("matrix", "way"), MATRICES.values(), ids=list(MATRICES))
def test_every_way_up(
    tmp_path: Path,
    portrait: Image,
    interlaced: bool,
    aspect: Fraction | None,
    matrix: tuple[int, int, int, int],
    way: Callable[[Image], Image],
) -> None:
    path = tmp_path / "a.mp4"
    write(path, moving(portrait, 3, (240, 180)), interlaced=interlaced, aspect=aspect)
    with open_source(path) as source:
        stored = next(iter(source)).image
    assert stored.shape == (180, 320 if aspect else 240, 3)
    with_matrix(path, matrix)
    with open_source(path) as source:
        shown = next(iter(source)).image
        assert source.size == shown.shape[1::-1]
    assert shown.shape == way(stored).shape
    assert np.abs(shown.astype(int) - way(stored)).mean() < 2


def test_a_film_that_is_to_lie_aslant_is_refused(tmp_path: Path, portrait: Image) -> None:
    path = write(tmp_path / "a.mp4", moving(portrait, 3))
    with_matrix(path, (0.7071, 0.7071, -0.7071, 0.7071))
    with pytest.raises(SourceError, match="quarter turns"):
        open_source(path)


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_index_says_nothing(tmp_path: Path, portrait: Image, seed: int) -> None:
    path = write(tmp_path / "a.mp4", moving(portrait, 3))
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for at in rng.integers(data.index(b"moov"), len(data), 30):
        data[at] = rng.integers(256)
    path.write_bytes(bytes(data))
    mirrored_turn(path)
    (tmp_path / "short.mp4").write_bytes(bytes(data[: rng.integers(8, len(data))]))
    mirrored_turn(tmp_path / "short.mp4")


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "gray"])
def test_yuv4mpeg_is_a_video(tmp_path: Path, portrait: Image, pixels: str) -> None:
    images = [np.maximum(image, 40) for image in moving(portrait, 3)]  # so that it holds no zero
    path = write(tmp_path / "a.y4m", images, codec="rawvideo", pixels=pixels, container="yuv4mpegpipe")
    assert len(read(path)) == 3


@pytest.mark.parametrize("name", ["a.ts", "no_suffix"])
@pytest.mark.parametrize("loop", [False, True])
def test_a_pipe_is_refused_at_once(tmp_path: Path, name: str, loop: bool) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError, match="is a pipe"):
        open_source(tmp_path / name, loop=loop)


def test_a_pipe_of_the_shell_is_no_camera() -> None:
    end, other = os.pipe()
    try:
        with pytest.raises(SourceError, match="is a pipe"):
            open_source(f"/dev/fd/{end}")
    finally:
        os.close(end)
        os.close(other)
