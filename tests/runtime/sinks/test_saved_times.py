"""Saved videos keep the times of their frames, and their sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from played_videos import played
from tiny_frame import frame

import mien.sinks.encoder
from mien.sinks.media import SaveVideo, save_to
from mien.sources.base import Source
from mien.sources.factory import open_source
from mien.types import Frame

MakeClip = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "fps", "size", "saved"),
    [
        ("out.mp4", 23.976, (640, 360), (640, 360)),
        ("out.mp4", 30.0, (641, 359), (642, 360)),
        ("out.mkv", 12.5, (640, 360), (640, 360)),
        ("out.avi", 29.97, (640, 360), (640, 360)),
        ("out.avi", 29.97, (641, 359), (642, 360)),
        ("out.avi", 25.0, (641, 359), (641, 359)),
    ],
)
def test_a_video_keeps_rate_size_and_frames(
    tmp_path: Path, make_clip: MakeClip, name: str, fps: float, size: tuple[int, int], saved: tuple[int, int]
) -> None:
    with open_source(make_clip(tmp_path / "in.avi", size=size, frames=8)) as source:
        source.fps = fps
        sink = save_to(str(tmp_path / name), source)
        originals = [replace(item, time=item.index / fps) for item in source]
        for item in originals:
            sink.write(item)
        sink.close()
    with open_source(tmp_path / name) as source:
        frames = list(source)
    assert (source.size, len(frames)) == (saved, 8)
    assert source.fps == pytest.approx(fps, abs=0.01)
    last = frames[-1].image[: size[1], : size[0]].astype(int)
    assert abs(last - originals[-1].image).mean() < 6


@pytest.mark.parametrize(("suffix", "frames"), [(".mp4", 5), (".mkv", 31)])
def test_a_live_video_plays_as_fast_as_life(tmp_path: Path, picture: Source, suffix: str, frames: int) -> None:
    picture.kind, picture.fps = "live", 25.0
    sink = save_to(str(tmp_path / f"out{suffix}"), picture)
    for time in (0.0, 0.2, 0.21, 1.0):
        sink.write(Frame(frame().image, time, 0, "camera"))
    sink.write(Frame(frame(size=(32, 32)).image, 1.2, 0, "camera"))  # a size that changes is fitted
    sink.close()
    with open_source(tmp_path / f"out{suffix}") as source:
        times = [item.time for item in source]
        assert (len(times), source.size) == (frames, (64, 48))
    assert times[-1] == pytest.approx(1.2, abs=0.002)
    if suffix == ".mp4":
        assert times == pytest.approx([0.0, 0.2, 0.21, 1.0, 1.2], abs=0.002)


VARIABLE = [0.0, 0.04, 0.08, 0.52, 0.526, 0.532, 1.92, 1.96, 5.0]
"""Times in s at a variable rate, as of a screen that was recorded or a phone in dim light."""


@pytest.mark.parametrize("flush", [0.0, 1e9])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
def test_a_variable_frame_rate_keeps_its_times(
    tmp_path: Path, suffix: str, flush: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mien.sinks.encoder, "FLUSH_SECONDS", flush)
    monkeypatch.setattr(mien.sinks.encoder, "MAX_OPENING_SHARE", 1e9)
    path = tmp_path / f"out{suffix}"
    sink = SaveVideo(path, fps=25.0, live=False)
    for i, time in enumerate(VARIABLE):
        sink.write(Frame(np.full((48, 64, 3), 25 * i, dtype=np.uint8), 7 + time, i, "a"))
        if suffix in (".mp4", ".mov") and flush == 0:
            assert played(path) == pytest.approx(VARIABLE[: i + 1], abs=0.002)  # while it grows, too
    sink.close()
    capture, shown = cv2.VideoCapture(str(path)), {}
    for time in played(path):
        level = round(float(capture.read()[1].mean()) / 25)
        shown.setdefault(level, time)
    if suffix in (".mp4", ".mov"):
        assert [shown[i] for i in range(9)] == pytest.approx(VARIABLE, abs=0.002)
        assert not caplog.records
    else:
        assert {i: time for i, time in enumerate(VARIABLE) if i != 4} == pytest.approx(shown, abs=0.041)
        assert "frames that came faster were left out: 1;" in caplog.text
    assert played(path)[-1] == pytest.approx(5.0, abs=0.021)


def test_a_slow_live_source_keeps_its_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for fps, times in ((25.0, [0, 3, 6, 8]), (0.1, [0, 10, 25, 30])):
        sink = SaveVideo(tmp_path / "out.mp4", fps=fps, live=True)
        for time in times:
            sink.write(Frame(frame().image, time, 0, "camera"))
        sink.close()
        assert played(tmp_path / "out.mp4") == pytest.approx(times, abs=0.002)
    assert not caplog.records


def test_stamps_that_stand_still_or_run_back_do_not_stop_a_video(tmp_path: Path) -> None:
    sink = SaveVideo(tmp_path / "out.mp4", fps=25.0, live=False)
    for time in (1.0, 1.0, 0.5, 0.54):
        sink.write(Frame(frame().image, time, 0, "a"))
    sink.close()
    assert played(tmp_path / "out.mp4") == pytest.approx([0.0, 0.04, 0.08, 0.12], abs=0.002)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_lost_camera_is_cut_out_of_the_video(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    sink = SaveVideo(tmp_path / f"out{suffix}", fps=25.0, live=True)
    for time in (100.0, 100.2, 3700.2, 3700.4, 7300.4):  # starts late, and loses an hour twice
        sink.write(Frame(frame().image, time, 0, "camera"))
    sink.close()
    times = played(tmp_path / f"out{suffix}")
    if suffix == ".mp4":
        assert times == pytest.approx([0, 0.2, 5.2, 5.4, 10.4], abs=0.002)
    else:  # to and with 100.2: 6, then five seconds, 0.2 s, five seconds
        assert len(times) == 6 + 125 + 5 + 125
    assert "leaves out 7190 s in which the source gave no picture" in caplog.text


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_size_that_changes_is_fitted(tmp_path: Path, suffix: str) -> None:
    sink = SaveVideo(tmp_path / f"out{suffix}", fps=25.0, live=False)
    for i, size in enumerate([(65, 49), (320, 240), (7, 301), (65, 49)]):
        sink.write(frame(i, size))
    sink.close()
    with open_source(tmp_path / f"out{suffix}") as source:
        assert [item.image.shape for item in source] == [(49, 65, 3) if suffix == ".avi" else (50, 66, 3)] * 4
