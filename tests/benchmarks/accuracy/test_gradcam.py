"""Maps of Grad-CAM and how alike they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.accuracy.gradcam import CLASSES, figure, grad_cam, overlap, start_of
from mien_train.continual.explain import maps


def test_the_heads_weights_give_what_gradients_give() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 6, 1)
    backbone = torch.nn.Sequential(layer, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    head = torch.nn.Linear(6, 4)
    face = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    _, slow = maps(backbone, head, layer, face)
    with torch.no_grad():
        cells = layer((torch.from_numpy(face).float().permute(2, 0, 1)[None] - 127.5) / 127.5)
        fast = grad_cam(cells, head.weight)[0] / 64  # gradients are spread over the cells
    assert fast == pytest.approx(slow, abs=1e-5)


def test_overlap_is_of_the_strongest_quarter() -> None:
    first, second = np.zeros((2, 4, 4), np.float32)
    first[0], second[0, :2], second[1, :2] = 1, 1, 1
    assert overlap(first, first) == 1
    assert overlap(first, second) == pytest.approx(2 / 6)
    assert np.isnan(overlap(first, np.zeros((4, 4), np.float32)))


def test_compounds_start_between_their_two() -> None:
    head = torch.nn.Linear(5, 8)
    weight, bias = start_of(head)
    assert weight.shape == (len(CLASSES), 5)
    place = CLASSES.index("fearfully surprised")
    assert torch.allclose(weight[place], (head.weight[3] + head.weight[4]) / 2)
    assert torch.allclose(bias[:8], head.bias)


def test_an_interval_is_over_people() -> None:
    people = np.repeat(np.arange(30), 4)
    middle, low, high = figure(np.where(people < 15, 1.0, 0.0), people)
    assert middle == 0.5
    assert 0.25 < low < 0.4 < 0.6 < high < 0.75
