"""A video plays while it is written, and what breaks its writing is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from played_videos import played
from tiny_disk import tiny_disk
from tiny_frame import frame

import mien.sinks.encoder
from mien.errors import OutputError
from mien.sinks.media import SaveVideo, save_to
from mien.sources.base import Source
from mien.types import Frame


def test_a_broken_video_is_not_passed_off_as_whole(tmp_path: Path, picture: Source) -> None:
    picture.kind = "video"
    sink = save_to(str(tmp_path / "out.mp4"), picture)
    for i in range(5):
        sink.write(frame(i))
    (tmp_path / "out.mp4").unlink()
    with pytest.raises(OutputError, match="0 of 5"):
        sink.close()


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
