from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_disk import tiny_disk
from tiny_frame import frame

import mien.sinks.encoder
from mien.errors import OutputError
from mien.sinks.media import SaveVideo, Window, save_to
from mien.sources.base import Source
from mien.sources.factory import open_source
from mien.types import Frame, Image

MakeClip = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, portrait: Image) -> Source:
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b.jpg", "c.ppm"):
        cv2.imwrite(str(tmp_path / "pictures" / name), portrait[:90, :91])
    return open_source(tmp_path / "pictures")


def test_save_fits_the_source(tmp_path: Path, picture: Source, folder: Source, make_clip: MakeClip) -> None:
    video = open_source(make_clip(tmp_path / "a.mp4"))
    (tmp_path / "file").write_text("x")
    for source, path, message in [
        (picture, "out.mp4", "cannot save a picture"),
        (picture, "out", "cannot save a picture"),
        (picture, "", "would be overwritten"),
        (video, "out.png", "cannot save a video"),
        (video, "a.mp4", "would be overwritten"),
        (folder, "out.jpg", "name a folder"),
        (folder, "file", "name a folder"),
        (folder, "missing/out", "does not exist"),
        (folder, "pictures", "would be overwritten"),
    ]:
        with pytest.raises(OutputError, match=message):
            save_to(str(tmp_path / path), source)
    video.close()


def test_pictures_keep_their_names_in_a_folder(tmp_path: Path, folder: Source) -> None:
    sink = save_to(str(tmp_path / "out"), folder)
    for item in folder:
        sink.write(item)
    sink.write(Frame(frame().image, 0.0, 9, "elsewhere/a.png"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-9.png", "a.png", "b.jpg", "c.png"]


def test_one_picture_into_a_folder(tmp_path: Path, picture: Source) -> None:
    save_to(f"{tmp_path}/new/", picture).write(next(iter(picture)))
    assert (tmp_path / "new" / "portrait.png").stat().st_size > 0


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


def test_a_broken_video_is_not_passed_off_as_whole(tmp_path: Path, picture: Source) -> None:
    picture.kind = "video"
    sink = save_to(str(tmp_path / "out.mp4"), picture)
    for i in range(5):
        sink.write(frame(i))
    (tmp_path / "out.mp4").unlink()
    with pytest.raises(OutputError, match="0 of 5"):
        sink.close()


@pytest.mark.skipif(bool(cv2.currentUIFramework()), reason="this OpenCV has windows")
def test_a_window_without_gui_names_the_remedy() -> None:
    with pytest.raises(OutputError, match="pip uninstall -y opencv-python-headless && pip install opencv-python"):
        Window("mien", wait=False)


def played(path: Path) -> list[float]:
    """The times in s of the frames that can be decoded."""
    capture, times = cv2.VideoCapture(str(path)), []
    while capture.read()[0]:
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return times


WRITER = """
import os, signal, sys, time, numpy as np
from pathlib import Path
import mien.sinks.encoder
from mien.sinks.media import SaveVideo
from mien.types import Frame
mien.sinks.encoder.FLUSH_SECONDS, mien.sinks.encoder.MAX_OPENING_SHARE = 0.05, 1e9
sink, random = SaveVideo(Path(sys.argv[1]), fps=25.0, live=False), np.random.default_rng(0)
noise = random.integers(0, 255, (360, 640, 3), dtype=np.uint8)
for i in range(60):
    sink.write(Frame(np.roll(noise, i, 1), i / 25, i, "a"))
for i in (60, 61):
    time.sleep(0.06)  # so that one of the two ends a piece
    sink.write(Frame(noise, 0.0, i, "a"))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
def test_a_killed_writer_leaves_a_video_that_plays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    subprocess.run([sys.executable, "-c", WRITER, str(path)], check=False, stderr=subprocess.DEVNULL)
    times = played(path)
    assert np.allclose(np.diff(times), 0.04, atol=0.001)
    if suffix in (".mp4", ".mov"):
        assert len(times) >= 61
    else:
        assert len(times) >= 40
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_an_mp4_plays_from_its_first_frame_on(tmp_path: Path) -> None:
    sink = SaveVideo(tmp_path / "out.mp4", fps=25.0, live=False)
    sink.write(frame(0))
    assert len(played(tmp_path / "out.mp4")) == 1
    sink.close()
    sink.close()
    assert len(played(tmp_path / "out.mp4")) == 1


def test_a_finished_mp4_of_many_pieces_is_like_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mien.sinks.encoder, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(mien.sinks.encoder, "MAX_OPENING_SHARE", 1e9)
    path = tmp_path / "out.mp4"
    sink = SaveVideo(path, fps=29.97, live=False)
    for i in range(40):
        sink.write(Frame(np.full((48, 64, 3), 6 * i, dtype=np.uint8), i / 29.97, i, "a"))
    sink.close()
    assert np.allclose(played(path), np.arange(40) / 29.97, atol=0.002)
    assert b"mvex" not in path.read_bytes()[-4000:]
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 40
    for index in (31, 3, 39, 0):
        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        assert abs(float(capture.read()[1].mean()) - 6 * index) < 4


@pytest.mark.parametrize(("slow", "pieces"), [((), 20), ((1, 2), 20), (range(99), 6)])
def test_only_an_encoder_that_is_always_slow_gets_longer_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: Sequence[int], pieces: int
) -> None:
    """At 0.06 s a frame, two are a piece, unless openings are slow: 0.02 s of them allow for a piece of 1 s."""
    monkeypatch.setattr(mien.sinks.encoder, "FLUSH_SECONDS", 0.05)
    monkeypatch.setitem(mien.sinks.encoder.CODECS, ".mov", ("mp4v",))
    now, opened, real = [0.0], [0], cv2.VideoWriter

    def writer(*args: Any) -> cv2.VideoWriter:
        now[0] += 0.02 if opened[0] in slow else 0.0001
        opened[0] += 1
        return real(*args)

    monkeypatch.setattr(mien.sinks.encoder, "monotonic", lambda: now[0])
    monkeypatch.setattr(mien.sinks.encoder.cv2, "VideoWriter", writer)
    monkeypatch.setattr(writer, "fourcc", real.fourcc, raising=False)
    sink = SaveVideo(tmp_path / "out.mov", fps=25.0, live=False)
    for i in range(39):  # one, which proves the codec, and 19 pairs
        sink.write(frame(i))
        now[0] += 0.06
    sink.close()
    assert opened[0] == pieces
    assert len(played(tmp_path / "out.mov")) == 39


def test_a_codec_that_opens_but_gives_nothing_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    real = mien.sinks.encoder._Pieces._open

    def opens(self: mien.sinks.encoder._Pieces, codec: str) -> bool:
        tried.append(codec)
        done = real(self, "mp4v")
        if codec == "avc1":
            self._file = (tmp_path / "none").open("w+b")
        return done

    monkeypatch.setattr(mien.sinks.encoder._Pieces, "_open", opens)
    sink = SaveVideo(tmp_path / "out.mp4", fps=25.0, live=False)
    for i in range(5):
        sink.write(frame(i))
    sink.close()
    assert tried == ["avc1", "mp4v", "mp4v"]
    assert len(played(tmp_path / "out.mp4")) == 5


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


def test_a_full_disk_is_told_and_what_was_flushed_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mien.sinks.encoder, "FLUSH_SECONDS", 0.0)
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), dtype=np.uint8)
    sink = SaveVideo(tmp_path / "out.mp4", fps=25.0, live=False)

    def write() -> None:
        for i in range(2000):
            sink.write(Frame(np.roll(noise, i, 1), i / 25, i, "a"))

    with tiny_disk(1_000_000), pytest.raises(OutputError, match=r"out\.mp4.*(disk full|free some space)"):
        write()
    assert len(played(tmp_path / "out.mp4")) > 2
    with suppress(OutputError):  # there too, where more than one frame is missing
        sink.close()
    assert len(played(tmp_path / "out.mp4")) > 2


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        SaveVideo(tmp_path / "missing" / "out.mp4", fps=25.0, live=False).write(frame())
    with pytest.raises(OutputError, match="cannot write"):
        SaveVideo(tmp_path / "missing" / "out.avi", fps=25.0, live=False).write(frame())
