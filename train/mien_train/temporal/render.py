"""A still -> frames of a video with changing pose, distance, light, blur, noise, compression, and hands before the
face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.align import stretch_contrast, warp
from mien.types import Image

Values = NDArray[np.float64]
WAVES = 5
"""Sines that are added up to one smooth course."""


def frame_times(count: int, rng: np.random.Generator) -> Values:
    """(count,) rising times in s, from 0: 8 to 30 frames a second, uneven by up to a tenth, with a few frames lost now
    and then."""
    steps = np.full(count, 1 / rng.uniform(8, 30)) * rng.uniform(0.9, 1.1, count)
    lost = rng.random(count) < rng.choice([0.0, 0.03, 0.15])
    steps = steps * np.where(lost, rng.integers(2, 6, count), 1)
    return np.asarray(np.cumsum(steps) - steps[0])


def course(times: Values, rng: np.random.Generator, slowest: float = 0.1, quickest: float = 1.2) -> Values:
    """(N,) values of about unit variance that change smoothly: sines of 0.1 to 1.2 Hz with random phases."""
    rates = np.exp(rng.uniform(np.log(slowest), np.log(quickest), WAVES))
    phases = rng.uniform(0, 2 * np.pi, WAVES)
    return np.asarray(np.sin(2 * np.pi * np.outer(times, rates) + phases).sum(1) * np.sqrt(2 / WAVES))


@dataclass(frozen=True, eq=False)
class Disturbances:
    """What happens to a face in front of a camera, with a row for each frame.

    ``moves`` (N, 2, 4): where the crop's corners come from, as shifts in crop sides. ``side`` (N,): the resolution of
    the face, in px across. ``gain``, ``slope`` (N,): brightness, and its change across the face. ``blur`` (N,): px.
    ``noise``, ``quality``: gray levels and JPEG quality of the camera. ``hand`` (N, 4): center and radii of what covers
    the face, in crop sides; NaN where nothing does. ``color`` (3,) of that.
    """

    moves: Values
    side: Values
    gain: Values
    slope: Values
    blur: Values
    noise: float
    quality: int
    hand: Values
    color: Values


def draw_disturbances(times: Values, rng: np.random.Generator, strength: float = 1.0) -> Disturbances:
    """The disturbances of one scene at ``times`` (N,) s. ``strength`` scales all motion. At 1 the student's embedding
    changes from frame to frame one and a half times as much as on two clips of real faces
    (benchmarks/temporal/encoder.py)."""
    count = len(times)

    def path(slow: float, fast: float) -> Values:
        return strength * (slow * course(times, rng) + fast * rng.normal(size=count))

    corners = np.array([[-0.5, 0.5, 0.5, -0.5], [-0.5, -0.5, 0.5, 0.5]])
    angle, zoom = path(0.05, 0.003), np.exp(path(0.04, 0.003))
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    turned = np.einsum("nij,jk->nik", np.array([[cos, -sin], [sin, cos]]).transpose(2, 0, 1), corners)
    shift = np.stack([path(0.02, 0.003), path(0.02, 0.003)], axis=1)[..., None]
    # A turned head: the far side shrinks, as it does on a picture that is turned.
    yaw, pitch = path(rng.uniform(0, 0.12), 0.001), path(rng.uniform(0, 0.08), 0.001)
    far = 1 + yaw[:, None] * corners[0] * 2, 1 + pitch[:, None] * corners[1] * 2
    turned = turned * np.stack([far[1], far[0]], axis=1)
    speed = np.abs(np.gradient(shift[:, 0, 0], times)) + np.abs(np.gradient(shift[:, 1, 0], times))
    moves = turned + shift - corners
    blurred = rng.uniform(0, 1.5) * np.clip(course(times, rng) - 0.6, 0, None) * 2
    return Disturbances(
        moves=moves,
        side=np.clip(rng.choice([36, 56, 80, 112]) * np.exp(0.1 * course(times, rng)), 24, 200),
        gain=np.exp(path(rng.uniform(0, 0.25), 0.004)),
        slope=path(rng.uniform(0, 0.35), 0),
        blur=rng.uniform(0, 0.8) + blurred + 2.0 * strength * speed.clip(0, 1),
        noise=float(rng.choice([0.0, rng.uniform(0, 3), rng.uniform(0, 10)])),
        quality=int(rng.integers(18, 92)),
        hand=_hand(times, rng),
        color=rng.uniform(20, 200) * rng.uniform(0.7, 1.0, 3),
    )


def _hand(times: Values, rng: np.random.Generator) -> Values:
    """(N, 4), NaN except for some time in some of the scenes, when something comes in from outside, stays, and
    leaves."""
    hand: Values = np.full((len(times), 4), np.nan)
    if rng.random() < 0.4:
        length = rng.uniform(0.3, 1.6)
        begins = rng.uniform(-0.2, times[-1] - 0.2)
        covered = (times >= begins) & (times < begins + length)
        away = rng.uniform(0, 2 * np.pi)
        outside = 0.5 + 0.9 * np.array([np.cos(away), np.sin(away)])
        target = rng.uniform(0.2, 0.8, 2)
        radii = rng.uniform(0.12, 0.32, 2)
        there = np.clip(np.minimum(times - begins, begins + length - times) / 0.15, 0, 1)[:, None]
        places = outside + (target - outside) * there
        hand[covered] = np.concatenate([places, np.tile(radii, (len(times), 1))], axis=1)[covered]
    return hand


def render(image: Image, matrix: Values, size: int, disturbances: Disturbances, seed: int) -> Iterator[Image]:
    """A uint8 BGR still and the (2, 3) transform of its crop -> a uint8 RGB crop (size, size, 3) for each frame."""
    rng = np.random.default_rng(seed)
    square = np.array([[0, 0], [size - 1, 0], [size - 1, size - 1], [0, size - 1]], np.float32)
    wide = np.array([[1.5, 0, size / 4], [0, 1.5, size / 4]])  # the crop with a margin, once for all frames
    margin = warp(image, _chain(wide, matrix), 2 * size)
    base = np.asarray(square * 1.5 + size / 4, np.float32)
    ramp = np.linspace(-0.5, 0.5, size)[None, :, None]
    for i in range(len(disturbances.side)):
        source = base + np.asarray(disturbances.moves[i].T * 1.5 * size, np.float32)
        patch = cv2.warpPerspective(margin, cv2.getPerspectiveTransform(source, square), (size, size))
        side = int(disturbances.side[i])
        if side < size:
            small = cv2.resize(patch, (side, side), interpolation=cv2.INTER_AREA)
            patch = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
        if not np.isnan(disturbances.hand[i, 0]):
            x, y, across, along = (int(value * size) for value in disturbances.hand[i])
            cv2.ellipse(patch, (x, y), (across, along), 0, 0, 360, disturbances.color.tolist(), -1, cv2.LINE_AA)
        if disturbances.blur[i] > 0.3:
            patch = cv2.GaussianBlur(patch, (0, 0), float(disturbances.blur[i]))
        light = patch * (disturbances.gain[i] * (1 + disturbances.slope[i] * ramp))
        if disturbances.noise:
            light = light + disturbances.noise * rng.standard_normal((size, size, 1))
        shown = np.clip(light, 0, 255).astype(np.uint8)
        _, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, disturbances.quality])
        shown = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
        yield np.asarray(cv2.cvtColor(stretch_contrast(shown), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _chain(second: Values, first: Values) -> Values:
    """(2, 3): the affine transform ``first``, then ``second``."""
    return np.asarray(second @ np.vstack([first, [0, 0, 1]]))
