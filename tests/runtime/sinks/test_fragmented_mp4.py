from __future__ import annotations

import os
import random
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import mien.sinks.fragmented_mp4
from mien.sinks.fragmented_mp4 import GrowingMovie
from mien.sinks.mp4_boxes import Piece, read_piece
from mien.types import Image

WIDE = 3
GROUND = np.random.default_rng(0).integers(90, 120, (48, 64, 3), dtype=np.uint8)


def picture(number: int) -> Image:
    """A bright bar on some texture, whose place tells the number."""
    image = GROUND.copy()
    image[:, WIDE * number : WIDE * (number + 1)] = 200
    return image


def number_of(image: np.ndarray) -> int:
    return int(image.mean(axis=(0, 2))[: 64 // WIDE * WIDE].reshape(-1, WIDE).mean(axis=1).argmax())


def encoded(path: Path, first: int, frames: int) -> bytes:
    """A file of OpenCV's with so many pictures."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    for i in range(first, first + frames):
        writer.write(picture(i))
    writer.release()
    return path.read_bytes()


@pytest.fixture(scope="module", params=[".mp4", ".mov"])
def pieces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Piece]:
    path = tmp_path_factory.mktemp("pieces") / f"piece{request.param}"
    return [read_piece(encoded(path, first, frames)) for first, frames in ((0, 1), (1, 7), (8, 7), (15, 5))]


def numbers(path: Path) -> list[int]:
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        ok, image = capture.read()
        if not ok:
            return found
        found.append(number_of(image))


def test_a_piece_holds_what_was_encoded(tmp_path: Path) -> None:
    piece = read_piece(encoded(tmp_path / "a.mp4", 0, 14))
    assert (piece.size, len(piece.samples), len(piece.sync)) == ((64, 48), 14, 14)
    assert piece.sync[0]
    assert not all(piece.sync)  # OpenCV sets a key frame every 12
    assert set(piece.shifts) == {0.0}
    assert all(piece.samples)


def test_a_piece_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    data = encoded(tmp_path / "a.mp4", 0, 14)
    end = data.index(b"stco") + 16  # behind the last table that is read
    for size in [0, 7, 8, 40, end - 1, *random.Random(0).sample(range(end), 60)]:
        with pytest.raises(ValueError, match=r"\w"):
            read_piece(data[:size])


def test_a_movie_plays_while_it_grows_and_when_it_is_done(tmp_path: Path, pieces: list[Piece]) -> None:
    path = tmp_path / "out.mp4"
    movie, count = GrowingMovie(path, 25), 0
    for piece in pieces:
        movie.append(piece)
        count += len(piece.samples)
        assert numbers(path) == list(range(count))
    growing = path.read_bytes()
    movie.close()
    movie.close()
    done = path.read_bytes()
    assert numbers(path) == list(range(20))
    assert done[: len(growing)].count(b"mvex") == 1  # still there, but as plain data
    assert b"mvex" not in done[len(growing) :]
    capture = cv2.VideoCapture(str(path))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (20, 25)
    for index in (13, 2, 19, 0, 8):
        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        assert number_of(capture.read()[1]) == index


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("call", "whole"), [(1, 1), (3, 8), (5, 15), (9, 15)])
def test_a_write_that_is_cut_anywhere_costs_its_piece_only(
    tmp_path: Path, pieces: list[Piece], monkeypatch: pytest.MonkeyPatch, call: int, whole: int
) -> None:
    """Two pieces are two writes each after the first one; then come the index, its header, and that of the data."""
    path = tmp_path / "out.mp4"
    for part in (0, 1, 39, 45, 60, 110, 160, 400, 0.2, 0.5, 0.9, 1.0):
        calls = 0

        def killed(file: int, data: bytes, part: float = part) -> None:
            nonlocal calls
            calls += 1
            if calls > call and len(data) > 16:  # shorter ones lie within a page
                os.write(file, data[: int(part * len(data)) if isinstance(part, float) else part])
                raise Killed
            os.write(file, data)

        movie = GrowingMovie(path, 25)
        with monkeypatch.context() as patch, pytest.raises(Killed) if call < 6 else nullcontext():
            patch.setattr(mien.sinks.fragmented_mp4, "write_all", killed)
            write(movie, pieces[:3])
        assert numbers(path)[:whole] == list(range(whole))


def write(movie: GrowingMovie, pieces: list[Piece]) -> None:
    for piece in pieces:
        movie.append(piece)
    movie.close()


def test_frames_that_are_shown_in_another_order_keep_it(tmp_path: Path, pieces: list[Piece]) -> None:
    """As with H.264's B-frames: here every frame can be decoded alone, and the second and third are exchanged."""
    one = pieces[0]
    movie = GrowingMovie(tmp_path / "out.mp4", 25)
    for _ in range(2):
        movie.append(replace(one, samples=one.samples * 4, sync=[True] * 4, shifts=[0, 0.04, -0.04, 0]))
    growing = times_of(tmp_path / "out.mp4")
    movie.close()
    for times in (growing, times_of(tmp_path / "out.mp4")):
        assert np.allclose(times, np.array([0, 2, 1, 3, 4, 6, 5, 7]) / 25)


def times_of(path: Path) -> list[float]:
    """Of the packets, as they are stored."""
    capture, times = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1]), []
    start = None
    while capture.grab():
        time = capture.get(cv2.CAP_PROP_PTS)
        start = time if start is None else start
        times.append(time - start)
    return [time * 0.04 / min(abs(step) for step in np.diff(times) if step) for time in times]


@pytest.mark.parametrize("fps", [1, 12.5, 23.976, 30000 / 1001, 29.97, 59.94, 240])
def test_rates_are_kept(tmp_path: Path, pieces: list[Piece], fps: float) -> None:
    path = tmp_path / "out.mp4"
    movie = GrowingMovie(path, fps)
    for piece in pieces:
        movie.append(piece)
    movie.close()
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=1e-4)
    for i in range(20):
        capture.read()
        assert capture.get(cv2.CAP_PROP_POS_MSEC) == pytest.approx(1000 * i / fps, abs=1)


def test_a_movie_of_nothing_is_empty(tmp_path: Path) -> None:
    GrowingMovie(tmp_path / "out.mp4", 25).close()
    assert (tmp_path / "out.mp4").read_bytes() == b""
