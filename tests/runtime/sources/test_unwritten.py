"""No frame that a decoder did not write, and none that it wrote is taken for one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from decoded_videos import check_frames, read, reference
from idle_capture import Idle
from made_videos import moving, write

from mien.sources.decoders import Decoder
from mien.sources.decoders.opencv import CvDecoder, Unwritten
from mien.sources.decoders.unwritten import TRUSTED_REPEATS, can_fill, filled_memory, is_filled
from mien.sources.live import Live
from mien.types import Image

pytest.importorskip("av")

UNIFORM = {"black": 0, "white": 255, "like the fill": 0xAC, "like the other fill": 0x4D}


@pytest.mark.parametrize("level", UNIFORM.values(), ids=list(UNIFORM))
def test_a_uniform_picture_is_a_picture(tmp_path: Path, level: int) -> None:
    image = np.full((120, 160, 3), level, np.uint8)
    path = write(tmp_path / "a.avi", [image] * 8, codec="rawvideo", pixels="bgr24")
    decoder, images = read(path)
    assert decoder == "OpenCV"
    check_frames(images, [image] * 8)


def test_pictures_that_stand_still_are_read_as_they_are(tmp_path: Path, portrait: Image) -> None:
    first, second, *rest = moving(portrait, 6)
    slides = [first] * 30 + [second] * (TRUSTED_REPEATS + 3) + [image for image in rest for _ in range(3)] + [first] * 2
    path = write(tmp_path / "a.mp4", slides)
    decoder, images = read(path)
    assert decoder == "OpenCV"
    check_frames(images, reference(path))


@pytest.mark.parametrize("fills", [True, False], ids=["glibc", "another allocator"])
def test_a_buffer_that_nobody_writes_to(fills: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if fills and not can_fill():
        pytest.skip("only glibc's allocator can fill new memory with a pattern")
    monkeypatch.setattr("mien.sources.decoders.opencv.can_fill", lambda: fills)
    for works in (None, 1):
        if works is None or fills:
            with pytest.raises(Unwritten):
                CvDecoder(Idle(works), "idle", lambda works=works: Idle(works)).read()  # type: ignore[misc,arg-type,return-value]
    busy = CvDecoder(Idle(0), "busy", lambda: Idle(0))  # type: ignore[arg-type,return-value]
    levels = []
    while decoded := busy.read():
        levels.append(int(decoded.image[0, 0, 0]))
    assert levels == list(range(20))


@pytest.mark.skipif(not can_fill(), reason="only glibc's allocator can fill new memory with a pattern")
def test_new_memory_is_filled_and_zeros_stay_zeros() -> None:
    with filled_memory(0x33):
        assert is_filled(np.empty((300, 400, 3), np.uint8), 0x33)
        assert not np.zeros((300, 400, 3), np.uint8).any()
    with filled_memory(0xC5):
        assert is_filled(np.empty((301, 400, 3), np.uint8), 0xC5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_can_open_videos_too(tmp_path: Path, portrait: Image) -> None:
    """Also one that is forked while another thread opens one."""
    path = write(tmp_path / "a.mp4", moving(portrait, 3))
    code = (
        "import os, sys, threading, time\n"
        "from mien.sources.decoders.unwritten import filled_memory\n"
        "from mien.sources.factory import open_source\n"
        "def hold():\n"
        "    with filled_memory(1): time.sleep(0.3)\n"
        "threading.Thread(target=hold).start()\n"
        "time.sleep(0.1)\n"
        "child = os.fork()\n"
        "with open_source(sys.argv[1]) as source: assert len(list(source)) == 3\n"
        "if child: sys.exit(os.waitpid(child, 0)[1])\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(path)], timeout=30, check=False)
    assert done.returncode == 0


def test_a_stream_whose_frames_are_not_written(tmp_path: Path, portrait: Image) -> None:
    """A live source, too, goes over to the second decoder."""
    from mien.sources.connections import watch

    path = write(tmp_path / "a.ts", moving(portrait, 30), interlaced=True)

    def connect() -> cv2.VideoCapture:
        return Idle()  # type: ignore[return-value]

    shots = watch(connect, "stream", address=str(path))
    found = [shot for shot in shots if shot]
    assert {shot.decoder for shot in found} == {"PyAV"}
    check_frames([shot.image for shot in found], reference(path))
    with Live("stream", lambda: watch(connect, "stream", address=str(path))) as source:
        assert source.decoder == "PyAV"


def test_a_decoder_of_a_camera_has_no_second(portrait: Image) -> None:
    decoder = Decoder(Idle(0, 2), "camera 0", live=True)  # type: ignore[arg-type]
    assert decoder.name == "OpenCV"
    assert decoder.read()
    assert decoder.read()
    assert decoder.read() is None
