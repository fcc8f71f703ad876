"""Sources that are turned and mirrored."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.cli.fer_run import run
from mien.cli.options import parse_args
from mien.errors import InputError
from mien.sources.factory import open_source
from mien.types import Image

MakeClip = Callable[..., Path]


def expected(image: Image, rotate: int, flip: bool) -> Image:
    out = np.rot90(image, -rotate // 90)  # numpy turns to the left
    return np.ascontiguousarray(out[:, ::-1] if flip else out)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_picture_is_turned_clockwise_and_then_mirrored(tmp_path: Path, rotate: int, flip: bool) -> None:
    image = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    with open_source(tmp_path / "a.png", rotate=rotate, flip=flip) as source:
        frame = next(iter(source))
        assert np.array_equal(frame.image, expected(image, rotate, flip))
        assert frame.image.flags["C_CONTIGUOUS"]
        assert (source.kind, source.count, source.size) == ("image", 1, frame.image.shape[1::-1])
        assert source.paths == [tmp_path / "a.png"]


def test_every_kind_of_source_is_turned(tmp_path: Path, make_clip: MakeClip, portrait: Image) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), portrait[:90])
    for spec, loop in ((clip, False), (clip, True), (tmp_path / "pictures", False)):
        with open_source(spec, loop=loop) as plain, open_source(spec, loop=loop, rotate=90, flip=True) as source:
            straight, frame = next(iter(plain)).image, next(iter(source)).image
            assert frame.shape == (straight.shape[1], straight.shape[0], 3)
            assert source.size in (None, (straight.shape[0], straight.shape[1]))
            assert (source.kind, source.name, source.fps) == (plain.kind, plain.name, plain.fps)
            assert loop or np.array_equal(frame, expected(straight, 90, True))


def test_a_turned_live_source_tells_its_state_and_stops(tmp_path: Path, make_clip: MakeClip) -> None:
    with open_source(make_clip(tmp_path / "a.mp4", fps=100), loop=True, rotate=180) as source:
        assert source.state == "open"
        frames = iter(source)
        for frame in islice(frames, 3):
            assert frame.image.shape == (180, 320, 3)
        source.stop()
        assert list(frames) == []
    assert source.state == "ended"


@pytest.mark.parametrize("rotate", [45, -90, 360, True, "90"])
def test_other_angles_are_refused(tmp_path: Path, rotate: int) -> None:
    with pytest.raises(InputError, match="use 90, 180 or 270"):
        open_source(tmp_path, rotate=rotate)


def test_fer_run_reads_a_lying_portrait_upright(tmp_path: Path, portrait: Image) -> None:
    cv2.imwrite(str(tmp_path / "upright.png"), portrait)
    cv2.imwrite(str(tmp_path / "lying.png"), np.rot90(portrait))
    boxes = []
    for name, options in (("upright", []), ("lying", ["--rotate", "90"])):
        out = tmp_path / f"{name}.jsonl"
        options = [*options, "--json", str(out), "--quiet", "--save", str(tmp_path / f"{name}.jpg")]
        assert run(parse_args([str(tmp_path / f"{name}.png"), *options])) == 0
        boxes.append(json.loads(out.read_text().splitlines()[0])["box"])
    assert boxes[0] == boxes[1]
    assert np.array_equal(cv2.imread(str(tmp_path / "upright.jpg")), cv2.imread(str(tmp_path / "lying.jpg")))
