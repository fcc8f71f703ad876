"""What the fuzzer (``benchmarks/reliability/fuzz``) has found, so that it stays mended."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien.bundle import find_bundle
from mien.cli import parse_args, run
from mien.errors import InputError, ModelNotFound, SourceError
from mien.recognizer import Recognizer
from mien.sources.images import read_image
from mien.tracking.smoothing import Clock
from mien.types import Image
from mien.validation import MAX_THREADS


@pytest.fixture(scope="module")
def recognizer(tiny_bundle: Path) -> Recognizer:
    return Recognizer(tiny_bundle, device="cpu", threads=1)


@pytest.mark.parametrize(
    "frame", [[[1, 2, 3], [4, 5]], [[[10**400] * 3]], pytest.param(object(), id="object"), "portrait.jpg"], ids=str
)
def test_what_is_no_array_is_refused(recognizer: Recognizer, frame: Any) -> None:
    with pytest.raises(InputError, match="frame"):
        recognizer.predict(frame)


@pytest.mark.parametrize(
    "boxes",
    [[[-1, 0, 3e38, 96]], [[0, 0, 1e300, 9]], [[0, 0, 10**400, 9]], [[0, 0, 2e6, 9]], [{}], [[1j] * 4]],
    ids=str,
)
def test_boxes_beyond_all_measure_are_refused(recognizer: Recognizer, portrait: Image, boxes: Any) -> None:
    with pytest.raises(InputError, match="boxes"):
        recognizer.predict_boxes(portrait, boxes)
    points = np.broadcast_to(np.asarray(5, dtype=object), (1, 5, 2)).copy()
    points[0, 0, 0] = 1e300
    with pytest.raises(InputError, match="landmarks"):
        recognizer.predict_boxes(portrait, [[0, 0, 9, 9]], points)


@pytest.mark.filterwarnings("error")
def test_landmarks_in_no_order_give_a_crop_all_the_same(recognizer: Recognizer, portrait: Image) -> None:
    """Their fit has no size: the template's correlation with them is nothing."""
    points = np.array([[50, 50], [50, 50], [60, 50], [50, 50], [50, 50]], np.float64)
    points[2] = 50
    points[0], points[1], points[3], points[4] = (40, 40), (40, 40), (60, 60), (60, 60)
    for turn in (points, points[::-1], points[[0, 3, 2, 1, 4]], 100 - points):
        (face,) = recognizer.predict_boxes(portrait, [[20, 10, 80, 90]], turn[None])
        assert np.isfinite([face.affect.valence, face.expression.confidence]).all()


@pytest.mark.parametrize(
    "value",
    [None, "1", "x", [], [1, 2], 1j, b"1", 10**400, float("nan"), pytest.param(object(), id="object")],
    ids=repr,
)
def test_options_that_are_no_number_are_refused(
    recognizer: Recognizer, tiny_bundle: Path, portrait: Image, value: Any
) -> None:
    for name in ("min_face", "min_score", "min_confidence"):
        with pytest.raises(InputError, match=name):
            Recognizer(tiny_bundle, device="cpu", **{name: value})
    for name in ("smoothing", "baseline", "max_gap", "search_every"):
        with pytest.raises(InputError, match=name):
            recognizer.stream(**{name: value})
    with pytest.raises(InputError, match="time"):
        recognizer.stream().update(portrait, value)
    if value is not None:
        with pytest.raises(InputError, match="threads"):
            Recognizer(tiny_bundle, device="cpu", threads=value)


@pytest.mark.parametrize("threads", [0, -1, 2.0, MAX_THREADS + 1, 100_000, 2**31, 10**30])
def test_as_many_threads_as_make_sense(tiny_bundle: Path, threads: Any) -> None:
    """ONNX Runtime takes half a minute to start 2,000, and dies of 100,000."""
    with pytest.raises(InputError, match=f"from 1 to {MAX_THREADS}"):
        Recognizer(tiny_bundle, device="cpu", threads=threads)
    with pytest.raises(SystemExit):
        parse_args(["--demo", "--threads", str(threads)])


@pytest.mark.parametrize("model", ["x" * 5000, "a\0b", "é" * 200])
def test_names_that_no_file_can_have_are_no_model(model: str) -> None:
    with pytest.raises(ModelNotFound):
        find_bundle(model)


@pytest.mark.filterwarnings("error")
def test_the_smallest_face_may_be_of_any_size(tiny_bundle: Path, portrait: Image) -> None:
    assert Recognizer(tiny_bundle, device="cpu", threads=1, min_face=1e300).predict(portrait) == []


@pytest.mark.filterwarnings("error")
def test_a_time_far_off_does_not_stop_the_clock(recognizer: Recognizer, portrait: Image) -> None:
    clock = Clock()
    for time in (0.0, 1e18, -1.7e308, 1.7e308, 0.04, 0.08):
        clock.tick(time)
    before = clock.now
    assert clock.tick(0.12) == pytest.approx(0.04)
    assert clock.now - before == pytest.approx(0.04)
    with recognizer.stream() as stream:
        for time in (0.0, 0.04, 1e18, 0.0, 1.7e308, -1.7e308, 0.0):
            stream.update(portrait, time)
        (face,) = stream.update(portrait, 0.04)
        blank = np.zeros_like(portrait)
        for i in range(40):
            assert stream.update(blank, 0.08 + i / 25) == []  # and it is forgotten in time
        (again,) = stream.update(portrait, 2.0)
    assert face.track_id != again.track_id


def bomb(kind: str, width: int, height: int) -> bytes:
    """A small picture whose header promises another size."""
    data = cv2.imencode(kind, np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    size = [width.to_bytes(4, "big"), height.to_bytes(4, "big")]
    if kind == ".png":
        head = b"IHDR" + b"".join(size) + data[24:29]
        return data[:12] + head + zlib.crc32(head).to_bytes(4, "big") + data[33:]
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + size[1][2:] + size[0][2:] + data[place + 4 :]


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_a_few_bytes_that_promise_gigabytes_are_not_decoded(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{kind}"
    data = bomb(kind, 20_000, 32_767)
    place = data.index(b"\xff\xc0") if kind == ".jpg" else len(data)
    for rubbish in (b"", b"\0\xff\0rubbish\xff"):  # libjpeg looks beyond it
        path.write_bytes(data[:place] + rubbish + data[place:])
        with pytest.raises(SourceError, match="megapixels"):
            read_image(path)
    path.write_bytes(bomb(kind, 16, 16))
    assert read_image(path).shape == (16, 16, 3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes and devices")
def test_what_never_ends_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zero.jpg"):
        with pytest.raises(SourceError, match="pipe or device"):
            read_image(tmp_path / name)
    (tmp_path / "large.jpg").write_bytes(b"\xff\xd8\xff")
    monkeypatch.setattr("mien.sources.images.MAX_BYTES", 2)
    with pytest.raises(SourceError, match="1 GiB"):
        read_image(tmp_path / "large.jpg")
    with pytest.raises(SourceError, match="directory"):
        read_image(tmp_path)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--max-frames", "9" * 30], "--max-frames"),
        (["--max-frames", "9" * 5000], "--max-frames"),
        (["--threads", "²"], "--threads"),
        (["--json", ""], "--json is empty"),
        (["--serve", ""], "--serve is empty"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_command_lines_that_raised_or_lost_results(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse_args(["--demo", *args])
    assert left.value.code == 2
    assert said in capsys.readouterr().err
    for number in ("²", "9" * 30, "9" * 5000):
        with pytest.raises(SystemExit):
            parse_args(["--camera", number])


def test_outputs_of_different_names_are_fine(tiny_bundle: Path, tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3)
    outputs = {"--json": "a.jsonl", "--csv": "a.csv", "--save": "a.mp4", "--summary": "a.json"}
    named = [word for name, file in outputs.items() for word in (name, str(tmp_path / file))]
    assert run(parse_args(["--source", str(clip), "--model", str(tiny_bundle), "--threads", "1", *named])) == 0
    assert all((tmp_path / file).stat().st_size for file in (*outputs.values(), "a.png"))
