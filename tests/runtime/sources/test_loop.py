"""A video file that is played again and again as if it were live."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import InputError, SourceError
from mien.sources.factory import open_source
from mien.sources.live import Live
from mien.types import Image

pytestmark = pytest.mark.usefixtures("nothing_left")

MakeClip = Callable[..., Path]


def test_loop_plays_a_file_again_and_again_at_its_own_pace(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=10, fps=50)
    with open_source(path, loop=True) as source:
        assert (source.kind, source.count, source.fps, source.size) == ("live", None, 50.0, (320, 180))
        assert source.paths == [path]
        began = time.monotonic()
        frames = list(islice(source, 60))
        took = time.monotonic() - began
    times = [frame.time for frame in frames]
    assert len(frames) + source.dropped == pytest.approx(took * 50, abs=20)
    assert times[-1] == pytest.approx(took, abs=0.4)
    assert np.allclose(np.array(times) * 50, np.round(np.array(times) * 50), atol=0.01)  # over the seam, too
    assert all(a < b for a, b in pairwise(times))
    assert len(os.listdir("/proc/self/fd")) < 200


def test_a_slow_reader_of_a_loop_drops_frames_and_keeps_the_pace(tmp_path: Path, make_clip: MakeClip) -> None:
    with open_source(make_clip(tmp_path / "a.mp4", frames=10, fps=50), loop=True) as source:
        frames = []
        for frame in islice(source, 8):
            frames.append((frame.time, time.monotonic()))
            time.sleep(0.1)
    assert source.dropped > 15
    (_, began), (at, now) = frames[0], frames[-1]
    assert at == pytest.approx(now - began, abs=0.4)


def test_a_loop_whose_file_goes_away_is_lost_and_comes_back(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=5, fps=50)
    source = open_source(path, loop=True)
    assert isinstance(source, Live)
    source._pause = 0.02
    away = path.with_suffix(".away")
    with source:
        frames = iter(source)
        next(frames)
        path.rename(away)
        threading.Timer(0.4, lambda: away.rename(path)).start()
        gap = max(b.time - a.time for a, b in pairwise(islice(frames, 30)))
    assert gap > 0.15


def test_what_loop_is_for(tmp_path: Path, portrait: Image) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), portrait)
    for spec in (picture, tmp_path, 0, "/dev/video0", "rtsp://u:secret@127.0.0.1/x", "a ! b", str(tmp_path / "*.png")):
        with pytest.raises(InputError, match="loop is only for a video file") as caught:
            open_source(spec, loop=True)
        assert "secret" not in str(caught.value)
    with pytest.raises(SourceError, match="no file or folder"):
        open_source(tmp_path / "missing.mp4", loop=True)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match="is empty"):
        open_source(tmp_path / "empty.mp4", loop=True)
