"""EmoNet's golden output: what it must say for weights and a picture that are made of sines."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mien_train.models.emonet import EmoNet

EXPRESSION = [-4.5554471, -4.6727471, -4.1899595, -3.1964340, -1.8367060, -0.2822281, 1.2902346, 2.7108381]
VALENCE, AROUSAL, HEATMAP_MEAN = 3.8232226, 4.4923358, -0.1560310

# Parts in the order of the published state dict, which the golden weights count by; the emotion head follows last.
TRUNK = (
    "conv1", "bn1", "conv2", "conv3", "conv4", "m0", "top_m_0", "conv_last0", "bn_end0", "l0", "bl0", "al0",
    "m1", "top_m_1", "conv_last1", "bn_end1", "l1",
)  # fmt: skip
HOURGLASS = (
    "b1_4", "b2_4", "b1_3", "b2_3", "b1_2", "b2_2", "b1_1", "b2_1", "b2_plus_1", "b3_1", "b3_2", "b3_3", "b3_4",
)  # fmt: skip


def golden_state() -> dict[str, Tensor]:
    state = EmoNet(8).state_dict()
    for i, name in enumerate(sorted(state, key=published_rank)):  # stable: inside of a part our order is theirs
        if not name.endswith("num_batches_tracked"):
            state[name] = golden_values(i, name, state[name].shape)
    return state


def golden_picture() -> Tensor:
    """float32 (1, 3, 256, 256)."""
    y, x, c = np.mgrid[:256, :256, 1:4].astype(np.float64)
    return torch.from_numpy(0.5 + 0.5 * np.sin(0.05 * c * x + 0.03 * c * y)).float().permute(2, 0, 1)[None]


def published_rank(name: str) -> tuple[int, int]:
    part, inner, *_ = name.split(".")
    hourglass = HOURGLASS.index(inner) if part in ("m0", "m1") else 0
    return (TRUNK.index(part) if part in TRUNK else len(TRUNK)), hourglass


def golden_values(i: int, name: str, shape: torch.Size) -> Tensor:
    w = np.sin(0.7391 * np.arange(shape.numel()) + 0.1 * i)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        w = 1 + 0.1 * w
    elif name.endswith(("running_mean", "bias")):
        w = 0.1 * w
    else:
        w = w * np.sqrt(2 / np.prod(shape[1:]))
    return torch.from_numpy(w.reshape(shape)).float()
