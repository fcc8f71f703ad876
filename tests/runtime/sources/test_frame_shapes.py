"""Pixels that are not square, and frames that change their size or shape on the way."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from decoded_videos import read
from made_videos import moving, write

from mien.errors import SourceError
from mien.sources.factory import open_source
from mien.types import Image

av = pytest.importorskip("av")


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
