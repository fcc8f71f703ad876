"""Animated WebP, PNG and AVIF: all frames at their times."""

from __future__ import annotations

import importlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import InputError, SourceError
from mien.sources.factory import open_source
from mien.sources.stills.layout import Cell, Layout
from mien.sources.stills.motion import compose
from mien.types import Image

PIL = pytest.importorskip("PIL.Image")
still_files = importlib.import_module("still_files")
DURATIONS = [40, 80, 120, 200]


def pictures(portrait: Image, *, clear: bool) -> list[object]:
    """A face that moves over a plain ground, or over nothing, mixed at its edges."""
    face = PIL.fromarray(np.ascontiguousarray(portrait[20:220, 120:330, ::-1])).resize((40, 40))
    frames = []
    for i in range(len(DURATIONS)):
        if clear:
            frame = PIL.new("RGBA", (80, 60), (0, 0, 0, 0))
            face.putalpha(255 if i % 2 else 254)
        else:
            frame = PIL.new("RGB", (80, 60), (90, 90, 90))
        frame.paste(face, (9 * i, 5 * i))
        frames.append(frame)
    return frames


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize(("kind", "options"), [
    ("WEBP", {"lossless": True}), ("WEBP", {"quality": 95, "allow_mixed": True}), ("PNG", {"disposal": 0}),
    ("PNG", {"disposal": 1}), ("PNG", {"disposal": 1, "blend": 1}), ("GIF", {"disposal": 2}),
])  # fmt: skip
def test_all_frames_at_their_times(
    kind: str, options: dict[str, object], clear: bool, portrait: Image, tmp_path: Path
) -> None:
    frames = pictures(portrait, clear=clear)
    path = tmp_path / f"a.{kind.lower()}"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], duration=DURATIONS, **options)  # type: ignore[attr-defined]
    with open_source(path) as source:
        got = [(frame.image.copy(), frame.time) for frame in source]
    assert (source.kind, source.size) == ("video", (80, 60))
    assert np.allclose([time for _, time in got], [0, 0.04, 0.12, 0.24], atol=1e-6)
    if kind == "GIF" and clear:
        return  # FFmpeg's ground of it is its own
    whole = PIL.open(path)
    for i, (image, _) in enumerate(got):
        whole.seek(i)
        buffer = io.BytesIO()
        whole.convert("RGBA").save(buffer, "PNG")
        assert np.abs(image.astype(int) - still_files.seen(buffer.getvalue())).mean() < 3


def test_what_becomes_of_the_area_of_a_frame() -> None:
    """Restored and cleared areas, worked out by hand."""

    def cell(value: int, left: int, after: str, *, over: bool = False, alpha: int = 255) -> Cell:
        data = cv2.imencode(".png", np.full((2, 2, 4), (value, value, value, alpha), np.uint8))[1].tobytes()
        return Cell(data, left, 0, (2, 2), 0.1, over, after)  # type: ignore[arg-type]

    cells = [
        cell(10, 0, "keep"),
        cell(20, 1, "restore"),
        cell(30, 2, "clear"),
        cell(200, 0, "keep", over=True, alpha=51),
    ]
    rows = [image[0, :, 0].tolist() for image in compose(Layout(b"", (4, 2), cells=cells))]
    assert rows == [[10, 10, 255, 255], [10, 20, 20, 255], [10, 10, 30, 30], [48, 48, 255, 255]]


@pytest.mark.skipif(
    not still_files.HAS_AVIF or int(cv2.__version__.split(".")[0]) < 5, reason="this OpenCV reads the first frame alone"
)
def test_all_frames_of_avif(portrait: Image, tmp_path: Path) -> None:
    frames = pictures(portrait, clear=False)
    path = tmp_path / "a.avif"
    frames[0].save(path, "AVIF", save_all=True, append_images=frames[1:], duration=DURATIONS)  # type: ignore[attr-defined]
    with open_source(path) as source:
        assert source.kind == "video"
        assert np.allclose([frame.time for frame in source], [0, 0.04, 0.12, 0.24], atol=1e-6)


def test_in_a_folder_the_first_frame_is_read_and_said(
    portrait: Image, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = pictures(portrait, clear=False)
    for name in ("a.webp", "b.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=50, lossless=True)  # type: ignore[attr-defined]
    with open_source(tmp_path) as source:
        read = [frame.image for frame in source]
    expected = np.asarray(frames[0])[..., ::-1]  # type: ignore[call-overload]
    assert len(read) == 2
    assert all(np.abs(image.astype(int) - expected).mean() < 1 for image in read)
    assert caplog.text.count("4 frames, of which only the first was read") == 2


def test_an_animation_is_read_once_and_a_broken_frame_is_named(portrait: Image, tmp_path: Path) -> None:
    frames = pictures(portrait, clear=False)
    path = tmp_path / "a.webp"
    frames[0].save(path, "WEBP", save_all=True, append_images=frames[1:], duration=50, lossless=True)  # type: ignore[attr-defined]
    source = open_source(path)
    assert len(list(source)) == len(frames)
    with pytest.raises(InputError, match="already"):
        next(iter(source))
    data = bytearray(path.read_bytes())
    last = data.rindex(b"VP8L")
    data[last + 8 : last + 30] = bytes(22)
    path.write_bytes(bytes(data))
    with pytest.raises(SourceError, match="frame 4 cannot be decoded"):
        list(open_source(path))
    path.write_bytes(bytes(data[: len(data) // 2]))
    with pytest.raises(SourceError, match="cut off"):
        open_source(path)
