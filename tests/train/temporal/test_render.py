"""Frames of made-up video: their times, and how they are disturbed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_data import face_jpeg

from mien_train.data.landmarks import decode_image
from mien_train.temporal.render import course, draw_disturbances, frame_times, render


def test_frames_come_at_their_own_rate_and_some_are_lost() -> None:
    steps = [np.diff(frame_times(200, np.random.default_rng(seed))) for seed in range(20)]
    assert min(part.min() for part in steps) > 1 / 30 * 0.89
    medians = [np.median(part) for part in steps]
    assert max(medians) > 2 * min(medians)
    assert max(part.max() / np.median(part) for part in steps) > 2
    assert min(part.max() / np.median(part) for part in steps) < 1.2


def test_a_course_is_smooth_and_of_unit_variance() -> None:
    times = np.arange(0, 60, 0.04)
    made = np.stack([course(times, np.random.default_rng(seed)) for seed in range(30)])
    assert made.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(made)).max() < 0.6


def test_disturbed_frames_change_little_from_one_to_the_next(portrait: np.ndarray) -> None:
    image = decode_image(face_jpeg(portrait, 0, 0))
    matrix = np.array([[1.0, 0, 24], [0, 1.0, 24]])
    near, far, covered = [], [], 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        times = np.arange(30) / 25
        what = draw_disturbances(times, rng)
        frames = np.stack(list(render(image, matrix, 112, what, seed))).astype(np.float32)
        assert frames.shape == (30, 112, 112, 3)
        near.append(np.abs(np.diff(frames, axis=0)).mean())
        far.append(np.abs(frames[15:] - frames[:15]).mean())
        covered += bool(np.isfinite(what.hand).any())
    assert np.mean(near) < 0.6 * np.mean(far)
    assert 1 <= covered <= 6


def test_nothing_disturbed_leaves_the_crop_as_the_runtime_cuts_it(data: Path, recipe: object) -> None:
    from mien.align import CropSpec, crop_matrix
    from mien_train.data.sets import load_with_landmarks

    item, spec = load_with_landmarks("rafdb/test", data), CropSpec(112, "landmarks", 0.9)
    still = draw_disturbances(np.arange(3) / 25, np.random.default_rng(0), strength=0.0)
    calm = replace(
        still, gain=np.ones(3), slope=np.zeros(3), blur=np.zeros(3), noise=0.0, quality=100, side=np.full(3, 112.0),
        hand=np.full((3, 4), np.nan), moves=np.zeros_like(still.moves),
    )  # fmt: skip
    box, points = item.landmarks.at(0)
    image = decode_image(item.faces.encoded(0))
    made = next(render(image, crop_matrix(spec, box, points), 112, calm, 0))
    assert np.abs(made.astype(float) - item.crop(0, spec)).mean() < 5
