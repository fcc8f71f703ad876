"""Videos on a server: what ends, what comes slowly, and what cannot be read in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from answering_server import Page, Server, jpeg

from mien.errors import SourceError
from mien.sources import web_files as asking
from mien.sources.factory import open_source
from mien.sources.live import Ended, Live
from mien.sources.video import Video

MakeClip = Callable[..., Path]


def endless_webm(clip: Path) -> bytes:
    """The clip as browsers record it: Matroska of unknown length and without a duration or an index."""
    av = pytest.importorskip("av")
    out = clip.with_suffix(".webm")
    with av.open(str(out), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        capture = cv2.VideoCapture(str(clip))
        while (got := capture.read())[0]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(got[1], format="bgr24")))
        container.mux(stream.encode())
    return out.read_bytes()


@pytest.mark.parametrize("how", ["length", "chunked", "close"])
def test_a_recording_without_a_duration_ends_at_its_end(
    server: Server, tmp_path: Path, make_clip: MakeClip, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = endless_webm(make_clip(tmp_path / "a.mp4", frames=30))
    server.pages["/a.webm"] = Page(data, "video/webm", how)
    with open_source(server.url("/a.webm")) as source:
        frames = list(source)
    assert isinstance(source, Video)
    assert (source.kind, len(frames), frames[-1].index) == ("video", 30, 29)
    assert frames[-1].time == pytest.approx(29 / 25, abs=0.01)
    assert not caplog.records


def test_a_recording_that_comes_slowly_ends_too(
    server: Server, tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken for a camera, as it takes its time; but one that would begin anew with the same is none."""
    monkeypatch.setattr(asking, "END_SECONDS", 0.05)
    data = endless_webm(make_clip(tmp_path / "a.mp4", frames=30))
    server.pages["/a.webm"] = Page(data, "video/webm", "chunked", pause=0.05, part=2048)
    with open_source(server.url("/a.webm")) as source:
        assert isinstance(source, Live)
        frames = list(source)
    assert 1 <= len(frames) <= 30
    assert len(frames) + source.dropped >= 29
    assert source.state == "ended"


def test_a_file_whose_server_dies_is_not_passed_off_as_whole(
    server: Server, tmp_path: Path, make_clip: MakeClip, caplog: pytest.LogCaptureFixture
) -> None:
    server.pages["/a.webm"] = Page(endless_webm(make_clip(tmp_path / "a.mp4")), "video/webm")
    with open_source(server.url("/a.webm")) as source:
        server.pages["/a.webm"].code = 503
        assert list(source)
    assert "the end of the video may be missing" in caplog.text


def test_a_file_with_its_index_at_the_end_from_a_server_that_gives_no_parts(
    server: Server, tmp_path: Path, make_clip: MakeClip
) -> None:
    server.pages["/a.mp4"] = Page(make_clip(tmp_path / "a.mp4", frames=100, size=(640, 360)).read_bytes(), "video/mp4")
    with pytest.raises(SourceError, match="the server only sends the whole file: download it"):
        open_source(server.url("/a.mp4"))


def test_kinds_of_answers() -> None:
    def answer(kind: str, head: bytes, length: int | None = None, ended: bool = False) -> asking.Answer:
        return asking.Answer(kind, length, head, ended)

    assert answer("image/jpeg", jpeg(9), 500).picture
    assert answer("", b"RIFF1234WEBPVP8 ", 500).picture
    assert not answer("image/gif", b"GIF89a", 500).picture
    assert not answer("video/x-motion-jpeg", jpeg(9) * 3, 500).picture
    assert not answer("multipart/x-mixed-replace", b"").finite
    assert not answer("application/vnd.apple.mpegurl", b"#EXTM3U\n#EXTINF:4,\na.ts\n", 30).finite
    assert answer("application/vnd.apple.mpegurl", b"#EXTM3U\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n", 30).finite
    assert not answer("application/dash+xml", b'<?xml?><MPD type="dynamic">', 30).finite
    assert not answer("video/mp2t", b"G\0").finite
    assert answer("video/mp2t", b"G\0", ended=True).finite


def test_nothing_and_a_slow_file_with_its_index_at_the_end_are_named(server: Server) -> None:
    server.pages["/none.jpg"] = Page(b"", "image/jpeg")
    for every in (None, 1.0):
        with pytest.raises(SourceError, match="sends nothing"):
            open_source(server.url("/none.jpg"), every=every)

    def ends() -> Iterator[None]:
        yield None
        raise Ended

    with pytest.raises(SourceError, match=r"ends before its first frame.*download it"):
        Live("slow.mp4", ends)  # type: ignore[arg-type]
