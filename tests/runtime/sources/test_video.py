"""Video files: times, turned pictures, decoding ahead, and what stays behind."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from waiting import wait_for
from whole_sources import read

from mien.errors import InputError, SourceError
from mien.sources.decoders import Decoder
from mien.sources.factory import open_source
from mien.sources.video import FRAMES_AHEAD, Video
from mien.types import Image

MakeClip = Callable[..., Path]


def boxes(data: bytes, path: Sequence[bytes], start: int = 0) -> list[int]:
    """Where the boxes of an MP4 begin that lead to ``path``, outermost first."""
    at, end = start, len(data) if not start else start - 8 + int.from_bytes(data[start - 8 : start - 4], "big")
    while at < end:
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == path[0]:
            return [at, *(boxes(data, path[1:], at + 8) if path[1:] else [])]
        at += size
    raise AssertionError(f"no {path[0]!r}")


def with_rotation(data: bytes) -> bytes:
    """The same film, to be shown a quarter turned, as telephones record it."""
    at = boxes(data, [b"moov", b"trak", b"tkhd"])[-1] + 8 + 40
    return data[:at] + struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30) + data[at + 36 :]


def with_durations(data: bytes, durations: Sequence[float]) -> bytes:
    """The same film, each of its frames as long as given, in s."""
    way = boxes(data, [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"])
    mdhd = boxes(data, [b"moov", b"trak", b"mdia", b"mdhd"])[-1]
    scale = int.from_bytes(data[mdhd + 20 : mdhd + 24], "big")
    entries = b"".join(struct.pack(">2I", 1, round(duration * scale)) for duration in durations)
    new = struct.pack(">I4s2I", 16 + len(entries), b"stts", 0, len(durations)) + entries
    stts, out = way[-1], bytearray(data)
    old = int.from_bytes(data[stts : stts + 4], "big")
    for at in way[:-1]:
        out[at : at + 4] = struct.pack(">I", int.from_bytes(data[at : at + 4], "big") + len(new) - old)
    out[stts : stts + old] = new
    elst = boxes(data, [b"moov", b"trak", b"edts"])[-1]
    out[elst + 4 : elst + 8] = b"free"
    return bytes(out)


def test_a_film_that_is_to_be_turned(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "a.mp4")
    path.write_bytes(with_rotation(path.read_bytes()))
    source, frames = read(path)
    assert source.size == (180, 320)
    assert {frame.image.shape for frame in frames} == {(320, 180, 3)}


def test_a_variable_frame_rate_keeps_its_times(
    tmp_path: Path, make_clip: MakeClip, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=8)
    durations = [0.04, 0.2, 1.0, 0.02, 0.04, 6.0, 0.04, 0.04]
    path.write_bytes(with_durations(path.read_bytes(), durations))
    _, frames = read(path)
    assert np.allclose([frame.time for frame in frames], np.cumsum([0.0, *durations[:-1]]), atol=1e-3)
    assert not caplog.records


def test_a_film_without_frames(tmp_path: Path, make_clip: MakeClip) -> None:
    for name in ("none.mp4", "none.avi"):
        with pytest.raises(SourceError, match=name):
            open_source(make_clip(tmp_path / name, frames=0))


class Film:
    """Stands in for cv2.VideoCapture: gray frames of rising level; ``after``, then an error, or the end."""

    def __init__(self, after: int, error: Exception | None = None):
        self.after, self.error, self.reads, self.released = after, error, 0, False

    def read(self) -> tuple[bool, Image | None]:
        if self.reads == self.after:
            if self.error:
                raise self.error
            return False, None
        self.reads += 1
        return True, np.full((4, 4, 3), self.reads - 1, dtype=np.uint8)

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_POS_MSEC: 40.0 * (self.reads - 1), cv2.CAP_PROP_FPS: 25.0}.get(what, 0.0)

    def release(self) -> None:
        self.released = True


def film(after: int, error: Exception | None = None) -> tuple[Video, Film]:
    stand_in = Film(after, error)
    return Video("film", Decoder(stand_in, "film")), stand_in  # type: ignore[arg-type]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "mien video"]


def test_frames_are_decoded_ahead_but_not_far() -> None:
    source, stand_in = film(100)
    with source:
        frames = iter(source)
        assert stand_in.reads == 1
        next(frames)
        wait_for(lambda: stand_in.reads == 1 + FRAMES_AHEAD + 1)  # those that wait, and one in the thread's hand
        time.sleep(0.15)
        assert stand_in.reads == 1 + FRAMES_AHEAD + 1
        assert [int(frame.image[0, 0, 0]) for frame in frames] == list(range(1, 100))
    assert stand_in.released
    assert not threads()


def test_decoding_ahead_changes_no_pixel_and_no_order(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=60)
    capture = cv2.VideoCapture(str(path))
    with open_source(path) as source:
        for i, frame in enumerate(source):
            ok, image = capture.read()
            assert ok
            assert frame.index == i
            assert np.array_equal(frame.image, image)
            time.sleep(0.01 * (i % 7 == 0))
    assert not capture.read()[0]
    assert i == 59


def test_an_error_of_the_decoder_comes_out_of_the_iteration() -> None:
    for error, expected in ((cv2.error("codec"), SourceError), (MemoryError("full"), SourceError)):
        source, stand_in = film(3, error)
        seen: list[int] = []
        with source, pytest.raises(expected, match=r"codec|full"):  # type: ignore[arg-type]
            seen.extend(frame.index for frame in source)
        assert seen == [0, 1, 2]
        assert stand_in.released
        assert not threads()


@pytest.mark.parametrize("leave", ["break", "close", "drop", "stop", "never"])
def test_no_thread_and_no_file_stays(tmp_path: Path, make_clip: MakeClip, leave: str) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=60)
    read(path)  # what OpenCV keeps once and for all
    files = len(os.listdir("/proc/self/fd"))
    source = open_source(path)
    if leave != "never":
        for frame in source:
            if frame.index == 2:
                if leave == "close":
                    source.close()
                elif leave == "stop":
                    source.stop()
                else:
                    break
        assert frame.index == 2
        assert source.state == "ended"
    if leave == "never":
        source.close()
        source.close()
        assert list(source) == []
    if leave == "drop":
        del source
    wait_for(lambda: not threads() and len(os.listdir("/proc/self/fd")) == files)


def test_a_video_is_iterated_over_once(tmp_path: Path, make_clip: MakeClip) -> None:
    with open_source(make_clip(tmp_path / "a.mp4")) as source:
        assert source.state == "open"
        assert len(list(source)) == 12
        assert (source.state, source.dropped) == ("ended", 0)
        with pytest.raises(InputError, match="open it again"):
            list(source)


@pytest.mark.parametrize("loop", [False, True])
def test_a_program_that_ends_in_the_middle_of_a_clip_ends_well(tmp_path: Path, make_clip: MakeClip, loop: bool) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=60)
    start = "from mien.sources.factory import open_source"
    code = f"{start}; frames = iter(open_source({str(clip)!r}, loop={loop})); next(frames)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
