"""Augmentation: what cameras, light, distance and hands do to a face. Each image has a seeded generator of its own."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.align import CropSpec, crop, crop_matrix
from mien.types import Floats, Image
from mien_train.recipe import AugmentRecipe


def augmented_crop(
    image: Image, spec: CropSpec, box: Floats, points: Floats | None, recipe: AugmentRecipe, rng: np.random.Generator
) -> Image:
    """uint8 BGR picture -> uint8 RGB crop (size, size, 3). One warp both cuts the crop and moves it at random."""
    matrix = _jitter(spec.size, recipe, rng) @ np.vstack([crop_matrix(spec, box, points), [0, 0, 1]])
    patch = crop(image, matrix[:2], spec.size)
    patch = _color(patch, recipe, rng)
    if rng.random() < recipe.degrade:
        patch = DEGRADATIONS[rng.integers(len(DEGRADATIONS))](patch, rng)
    if rng.random() < recipe.occlude:
        patch = _occlude(patch, rng)
    return np.ascontiguousarray(patch)


def _jitter(size: int, recipe: AugmentRecipe, rng: np.random.Generator) -> NDArray[np.float64]:
    """(3, 3) similarity of the crop onto itself: flip, rotation, zoom, shift."""
    middle = (size - 1) / 2
    angle = rng.uniform(-recipe.rotate, recipe.rotate)
    zoom = np.exp(rng.uniform(-recipe.zoom, recipe.zoom))
    matrix: NDArray[np.float64] = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D((middle, middle), angle, zoom)
    matrix[:2, 2] += rng.uniform(-recipe.shift, recipe.shift, 2) * size
    if rng.random() < 0.5:
        matrix = np.array([[-1, 0, size - 1], [0, 1, 0], [0, 0, 1]]) @ matrix
    return matrix


def _color(patch: Image, recipe: AugmentRecipe, rng: np.random.Generator) -> Image:
    """Contrast, brightness, gamma and the balance of the channels through one table; then, at random, gray."""
    strength = recipe.colour
    ramp = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.uniform(-strength, strength))
    gains = np.exp(rng.uniform(-strength, strength)) * np.exp(rng.normal(0, strength / 6, 3))
    table = (ramp - 0.5) * gains + 0.5 + rng.uniform(-strength, strength) / 2
    patch = np.asarray(cv2.LUT(patch, (np.clip(table, 0, 1) * 255).astype(np.uint8)[None]), dtype=np.uint8)
    if rng.random() < recipe.grey:
        patch = np.repeat(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)
    return patch


def _downscale(patch: Image, rng: np.random.Generator) -> Image:
    size = patch.shape[0]
    small = int(rng.integers(24, 65))
    reduced = cv2.resize(patch, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (size, size), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _blur(patch: Image, rng: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(patch, (0, 0), rng.uniform(0.5, patch.shape[0] / 45)), dtype=np.uint8)


def _noise(patch: Image, rng: np.random.Generator) -> Image:
    noise = rng.normal(0, rng.uniform(4, 20), patch.shape)
    return np.clip(patch + noise, 0, 255).astype(np.uint8)


def _jpeg(patch: Image, rng: np.random.Generator) -> Image:
    _, data = cv2.imencode(".jpg", patch, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(10, 60))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


DEGRADATIONS = (_downscale, _downscale, _blur, _noise, _jpeg)


def _occlude(patch: Image, rng: np.random.Generator) -> Image:
    """A rectangle of one color or of noise (random erasing, Zhong et al. 2020)."""
    size = patch.shape[0]
    height, width = rng.integers(size // 8, size // 2, 2)
    top, left = rng.integers(0, size - height), rng.integers(0, size - width)
    patch = patch.copy()
    shape = (height, width, 3) if rng.random() < 0.5 else (1, 1, 3)
    patch[top : top + height, left : left + width] = rng.integers(0, 256, shape)
    return patch
