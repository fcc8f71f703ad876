"""The networks that others run for facial expression, by architecture and with random weights.

What a network costs does not depend on the values of its weights, only on its shape. So that no value is special
(infinite, or so small that a processor takes a slow path), batch norms are set to what random pictures give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
from torch import Tensor, nn

from mien_train.models.emonet import EMONET_SIZE, EmoNet

CLASSES = 8


@dataclass(frozen=True)
class Peer:
    """``who`` runs it, for what we know; it takes float32 (N, ``channels``, ``size``, ``size``)."""

    network: str
    size: int
    who: str
    build: Callable[[], nn.Module]
    channels: int = 3

    @property
    def name(self) -> str:
        return f"{self.network}@{self.size}"

    def example(self, batch: int) -> Tensor:
        """Random pictures (N, C, H, W) in [-1, 1], the same ones each time."""
        shape = (batch, self.channels, self.size, self.size)
        return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 1


def settled(peer: Peer) -> nn.Module:
    """The network in evaluation mode, its batch norms fitted to random pictures. The same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = peer.build()
        norms = [m for m in network.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
        for norm in norms:
            norm.momentum = None  # a plain mean over what passes by
        with torch.inference_mode():
            network.train()(peer.example(4))
    return network.eval()


def _timm(name: str) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=CLASSES)


class EmoNetOutputs(nn.Module):
    """EmoNet without what its users do not read (the heatmaps are computed all the same: its head looks at them)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EmoNet(CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.network(x)
        return out["expression"], out["valence"], out["arousal"]


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, padding: int = 0, groups: int = 1, active: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.PReLU(outputs)] if active else []))


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, factor: int, stride: int):
        super().__init__()
        wide = factor * inputs
        self.body = nn.Sequential(
            _conv(inputs, wide, 1),
            _conv(wide, wide, 3, stride, padding=1, groups=wide),
            _conv(wide, outputs, 1, active=False),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.body(x)
        return x + made if self.adds else made


class MobileFaceNet(nn.Sequential):
    """Chen, Liu, Gao & Han 2018 (arXiv 1804.07573), table 1: 112 px, 0.99 million parameters, 221 million MACs. The
    classes come from a linear layer behind its 128 numbers."""

    STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
    """Expansion, channels, blocks, stride of the first."""

    def __init__(self, classes: int = 7):
        parts: list[nn.Module] = [_conv(3, 64, 3, 2, padding=1), _conv(64, 64, 3, padding=1, groups=64)]
        width = 64
        for factor, channels, blocks, stride in self.STAGES:
            for k in range(blocks):
                parts.append(_Bottleneck(width, channels, factor, stride if k == 0 else 1))
                width = channels
        parts += [_conv(width, 512, 1), _conv(512, 512, 7, groups=512, active=False), _conv(512, 128, 1, active=False)]
        super().__init__(*parts, nn.Flatten(), nn.Linear(128, classes))


class _Separable(nn.Sequential):
    def __init__(self, inputs: int, outputs: int):
        super().__init__(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs))
        self.body = nn.Sequential(
            _Separable(inputs, outputs), nn.ReLU(), _Separable(outputs, outputs), nn.MaxPool2d(3, 2, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.body(x) + self.short(x)
        return made


class MiniXception(nn.Sequential):
    """Arriaga, Valdenegro-Toro & Plöger 2017 (arXiv 1710.07557): 64 px, grey, about 60,000 parameters (58,423 in the
    authors' program, which counts the means and variances of batch norms)."""

    def __init__(self, classes: int = 7):
        first = [nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
        second = [nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
        blocks = [_Residual(a, b) for a, b in ((8, 16), (16, 32), (32, 64), (64, 128))]
        last = [nn.Conv2d(128, classes, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1)]
        super().__init__(*first, *second, *blocks, *last)


EMONET, PAPER, B0 = f"emonet@{EMONET_SIZE}", "mobilenetv2_100@224", "efficientnet_b0@224"
PEERS = (
    Peer("emonet", EMONET_SIZE, "EmoNet (Toisoul et al. 2021)", EmoNetOutputs),
    Peer("resnet50", 224, "the class of LibreFace and complex-FER", _timm("resnet50")),
    Peer("efficientformer_l3", 224, "EfficientFormer-L3", _timm("efficientformer_l3")),
    Peer("efficientnet_b2", 260, "EmotiEffLib", _timm("efficientnet_b2")),
    Peer("efficientnet_b0", 224, "EmotiEffLib, HSEmotion", _timm("efficientnet_b0")),
    Peer("mobilenetv2_100", 224, "the student of the paper", _timm("mobilenetv2_100")),
    Peer("mobilefacenet", 112, "OpenCV Zoo", MobileFaceNet),
    Peer("mini_xception", 64, "fer", MiniXception, channels=1),
)
