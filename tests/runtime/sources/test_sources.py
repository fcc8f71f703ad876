"""Videos, cameras, pipelines and addresses by their names, and what cannot be opened."""

from __future__ import annotations

import http.server
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from whole_sources import read

from mien.errors import MienError, SourceError
from mien.sources.factory import open_source
from mien.types import Image

MakeClip = Callable[..., Path]


@pytest.mark.parametrize(("name", "size"), [("a.mp4", (320, 180)), ("a.avi", (641, 359))])
def test_a_video(
    tmp_path: Path, make_clip: MakeClip, name: str, size: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    source, frames = read(make_clip(tmp_path / name, frames=10, size=size))
    assert (source.kind, source.count, source.size, source.fps) == ("video", 10, size, 25.0)
    assert np.allclose([frame.time for frame in frames], np.arange(10) / 25)
    assert [frame.index for frame in frames] == list(range(10))
    assert not caplog.records


def test_a_percent_sign_in_a_video_name_is_no_pattern(tmp_path: Path, make_clip: MakeClip) -> None:
    assert len(read(make_clip(tmp_path / "a.mp4").rename(tmp_path / "100%d.mp4"))[1]) == 12


def test_a_broken_tail_is_told(tmp_path: Path, make_clip: MakeClip, caplog: pytest.LogCaptureFixture) -> None:
    path = make_clip(tmp_path / "a.avi", frames=20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    _, frames = read(path)
    assert 3 < len(frames) < 17
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"read {len(frames)} of the 20 frames" in record.getMessage()


def test_videos_that_cannot_be_opened(tmp_path: Path, make_clip: MakeClip) -> None:
    unfinished = make_clip(tmp_path / "unfinished.mp4")
    unfinished.write_bytes(unfinished.read_bytes()[:-400])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.txt").write_text("FFmpeg would play this\n" * 300)
    for name in ("unfinished.mp4", "empty.mp4", "text.txt"):
        with pytest.raises(SourceError, match=name):
            open_source(tmp_path / name)


@pytest.mark.parametrize("spec", [63, "63", "/dev/video63", "/dev/nothing"])
def test_a_missing_camera(spec: int | str) -> None:
    with pytest.raises(SourceError, match=f"camera {spec}"):
        open_source(spec)


def test_camera_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.sources.factory.glob.glob", lambda _: ["/dev/video0"])
    monkeypatch.setattr("mien.sources.factory.os.access", lambda *_: False)
    with pytest.raises(SourceError, match="usermod -aG video"):
        open_source(63)
    monkeypatch.setattr("mien.sources.factory.os.access", lambda *_: True)
    with pytest.raises(SourceError, match="found /dev/video0"):
        open_source(63)


@pytest.mark.skipif(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER), reason="this OpenCV has GStreamer")
def test_pipelines_without_gstreamer() -> None:
    with pytest.raises(SourceError, match="no GStreamer"):
        open_source("videotestsrc ! videoconvert ! appsink")


def test_a_dead_address_does_not_show_its_password() -> None:
    with pytest.raises(MienError, match=r"rtsp://127\.0\.0\.1:9/door") as caught:
        open_source("rtsp://user:secret@127.0.0.1:9/door")
    assert "secret" not in str(caught.value)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves the folder on the loopback."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **rest: object) -> None:
            super().__init__(*args, directory=str(tmp_path), **rest)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_file_over_http(tmp_path: Path, make_clip: MakeClip, server: str) -> None:
    make_clip(tmp_path / "a.mp4")
    source, frames = read(f"{server}/a.mp4")
    assert (source.kind, source.count, len(frames)) == ("video", 12, 12)


@pytest.mark.parametrize("name", ["\u00b2", "9" * 5000, "12345678901"])
def test_digits_that_number_no_camera_are_taken_for_a_file(name: str) -> None:
    with pytest.raises(SourceError, match="no file"):
        open_source(name)


@pytest.mark.parametrize("suffix", [".mjpeg", ".mjpg"])
def test_raw_mjpeg_is_a_video(tmp_path: Path, portrait: Image, suffix: str) -> None:
    data = cv2.imencode(".jpg", portrait[:64, :64])[1].tobytes()
    (tmp_path / f"in{suffix}").write_bytes(data * 5)
    assert len(read(tmp_path / f"in{suffix}")[1]) == 5
