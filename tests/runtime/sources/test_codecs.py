"""Codecs that OpenCV lacks or nobody knows, and files that a decoder may stumble over."""

from __future__ import annotations

from pathlib import Path

import pytest
from decoded_videos import check_frames, read, read_or_refusal, reference, without_pyav
from made_videos import moving, write

from mien.errors import SourceError
from mien.sources.decoders import REMEDY
from mien.types import Image

av = pytest.importorskip("av")


def test_a_codec_that_nobody_knows(tmp_path: Path, portrait: Image) -> None:
    path = write(tmp_path / "a.mp4", moving(portrait, 3))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xyz1"))
    with pytest.raises(SourceError, match="codec"):
        read(path)


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


def test_a_damaged_transport_stream_is_read_as_far_as_it_goes(tmp_path: Path, portrait: Image) -> None:
    path = write(tmp_path / "a.ts", moving(portrait, 60), options={"g": "10"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    assert 10 < len(read(path)[1]) < 50
