"""MobileNet (Howard et al. 2017, arXiv:1704.04861) without most of its late blocks, for the smallest student.

On crops of 64 px the late blocks see 4 x 4 and 2 x 2 cells. There they wait for their weights rather than compute, and
hold nine tenths of all weights. Its name in timm is ``mobilenetv1_100_short``.
"""

from __future__ import annotations

from typing import Any

import timm
from timm.models import EfficientNet, register_model
from torch import nn

WHOLE = "mobilenetv1_100"
SHORT = "mobilenetv1_100_short"
KEPT = (1, 2, 2, 4)
"""Blocks of each stage that stay, the first of each. The whole network has 1, 2, 2, 6 and 2."""
WIDTH = 512
"""Channels of the last of them, and so of the embedding."""


@register_model
def mobilenetv1_100_short(pretrained: bool = False, **options: Any) -> EfficientNet:
    """The entry point for timm. Layers are named as in ``mobilenetv1_100``, so a student can start from one of those;
    ``pretrained`` does nothing."""
    network = timm.create_model(WHOLE, **{name: value for name, value in options.items() if value is not None})
    assert isinstance(network, EfficientNet)
    del network.blocks[len(KEPT) :]
    for stage, count in zip(network.blocks.children(), KEPT, strict=True):
        assert isinstance(stage, nn.Sequential)
        del stage[count:]
    network.num_features = network.head_hidden_size = WIDTH
    return network
