"""EmoNet (Toisoul, Kossaifi, Bulat, Tzimiropoulos & Pantic 2021, Nature Machine Intelligence 3:42-50).

A face alignment network (Bulat & Tzimiropoulos 2017) finds 68 landmark heatmaps; its features, weighted by those
heatmaps, feed a head for expression, valence and arousal. About 17 GMAC. Written from the paper and from the names and
shapes in the published checkpoints, so that ``emonet_8.pth`` and ``emonet_5.pth`` load with ``strict=True``. The
published weights are CC BY-NC-ND and are not part of this project.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import InputError, ModelInvalid

EMONET_SIZE = 256
EMONET_8 = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
EMONET_5 = ("neutral", "happiness", "sadness", "surprise", "fear")
"""EmoNet's documentation calls the fifth class fear, its code calls it anger. Check it on faces that you know before
you rely on it."""
WIDTH = 256
LANDMARKS = 68
HOURGLASS_DEPTH = 4


class EmoNet(nn.Module):
    """``forward``: float32 (N, 3, 256, 256), RGB in [0, 1] -> a mapping of

    ``expression`` (N, n_expression) logits, ``valence`` (N,) and ``arousal`` (N,), trained on [-1, 1] but not bounded,
    ``heatmap`` (N, 68, 64, 64), ``embedding`` (N, 256): the pooled features before the head.
    """

    def __init__(self, n_expression: int = 8):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = PyramidBlock(64, 128)
        self.conv3 = PyramidBlock(128, 128)
        self.conv4 = PyramidBlock(128, WIDTH)
        # The names are those of the published checkpoints: the first hourglass ends in *0, the second in *1.
        self.m0, self.m1 = Hourglass(HOURGLASS_DEPTH), Hourglass(HOURGLASS_DEPTH)
        self.top_m_0, self.top_m_1 = PyramidBlock(WIDTH, WIDTH), PyramidBlock(WIDTH, WIDTH)
        self.conv_last0, self.conv_last1 = nn.Conv2d(WIDTH, WIDTH, 1), nn.Conv2d(WIDTH, WIDTH, 1)
        self.bn_end0, self.bn_end1 = nn.BatchNorm2d(WIDTH), nn.BatchNorm2d(WIDTH)
        self.l0, self.l1 = nn.Conv2d(WIDTH, LANDMARKS, 1), nn.Conv2d(WIDTH, LANDMARKS, 1)
        self.bl0, self.al0 = nn.Conv2d(WIDTH, WIDTH, 1), nn.Conv2d(LANDMARKS, WIDTH, 1)
        self.conv1x1_input_emo_2 = nn.Conv2d(3 * WIDTH, WIDTH, 1)
        stages: list[nn.Module] = []
        for _ in range(4):
            stages += [PyramidBlock(WIDTH, WIDTH), nn.MaxPool2d(2)]
        self.emo_net_2 = nn.Sequential(*stages)
        self.avg_pool_2 = nn.AvgPool2d(4)
        self.emo_fc_2 = nn.Sequential(
            nn.Linear(WIDTH, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, n_expression + 2)
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.relu(self.bn1(self.conv1(x)))
        trunk = self.conv4(self.conv3(F.max_pool2d(self.conv2(x), 2)))

        first = F.relu(self.bn_end0(self.conv_last0(self.top_m_0(self.m0(trunk)))))
        heatmap = self.l0(first)
        first = self.bl0(first)
        second = self.top_m_1(self.m1(trunk + first + self.al0(heatmap)))
        second = F.relu(self.bn_end1(self.conv_last1(second)))
        heatmap = self.l1(second)

        attention = heatmap.sum(1, keepdim=True)
        joined = torch.cat([trunk, first * attention, second * attention], dim=1)
        embedding = self.avg_pool_2(self.emo_net_2(self.conv1x1_input_emo_2(joined))).flatten(1)
        head = self.emo_fc_2(embedding)
        return {
            "expression": head[:, :-2],
            "valence": head[:, -2],
            "arousal": head[:, -1],
            "heatmap": heatmap,
            "embedding": embedding,
        }


def load_emonet(path: Path) -> EmoNet:
    """The network of a published checkpoint, or of one with the same names and shapes, in evaluation mode.

    Raises InputError where there is no file, ModelInvalid where it does not fit.
    """
    if not path.is_file():
        raise InputError(f"no EmoNet checkpoint at {path}; its authors publish emonet_8.pth and emonet_5.pth")
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        # Checkpoints that were saved from DataParallel carry a prefix.
        state = {name.removeprefix("module."): value for name, value in state.items()}
        network = EmoNet(len(state["emo_fc_2.3.bias"]) - 2)
        network.load_state_dict(state, strict=True)
    except Exception as error:  # pickle, zip and torch raise anything on foreign bytes
        raise ModelInvalid(f"{path} is not a checkpoint of EmoNet: {error}") from error
    return network.eval()


class PyramidBlock(nn.Module):
    """Pre-activation residual block of three 3x3 convolutions whose outputs (a half, a quarter and a quarter of the
    channels) are put side by side: the hierarchical, parallel and multi-scale block of Bulat & Tzimiropoulos 2017."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(quarter)
        self.conv3 = nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.downsample = (
            nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False))
            if inputs != outputs
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv1(F.relu(self.bn1(x)))
        b = self.conv2(F.relu(self.bn2(a)))
        c = self.conv3(F.relu(self.bn3(b)))
        return torch.cat([a, b, c], dim=1) + self.downsample(x)


class Hourglass(nn.Module):
    """Newell, Yang & Deng 2016: ``depth`` halvings and nearest-neighbor doublings, with a skip at every level."""

    def __init__(self, depth: int):
        super().__init__()
        self.depth = depth
        for level in range(depth, 0, -1):
            for name in (f"b1_{level}", f"b2_{level}", f"b3_{level}"):
                self.add_module(name, PyramidBlock(WIDTH, WIDTH))
        self.b2_plus_1 = PyramidBlock(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self._level(self.depth, x)

    def _level(self, level: int, x: Tensor) -> Tensor:
        block = self.get_submodule
        low = block(f"b2_{level}")(F.max_pool2d(x, 2))
        low = self._level(level - 1, low) if level > 1 else self.b2_plus_1(low)
        low = block(f"b3_{level}")(low)
        return block(f"b1_{level}")(x) + F.interpolate(low, scale_factor=2.0, mode="nearest")
