"""dlib's face recognition network as a backbone: a ResNet of 29 convolutions for crops of 150 px (King 2017), trained
on three million faces.

It computes what ``@vladmandic/face-api`` does, but with batch norms for its affine layers, so that it can be trained.
Its name in timm is ``dlib_resnet29``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.models import register_model
from torch import Tensor, nn

STAGES = ((32, 3, False), (64, 3, True), (128, 2, True), (256, 2, True))
"""Channels, number of blocks, and whether another block before them halves the size. Behind the last stage is one more
halving block."""


class ConvNorm(nn.Module):
    """A convolution with a bias, then a batch norm."""

    def __init__(self, entering: int, leaving: int, kernel: int = 3, *, halve: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(entering, leaving, kernel, 2 if halve else 1, 0 if halve else kernel // 2)
        self.norm = nn.BatchNorm2d(leaving)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out


class Block(nn.Module):
    """A residual block of two convolutions. Where it halves the size, the shortcut is averaged down and padded with
    zeros."""

    def __init__(self, entering: int, leaving: int, drop_path: float, *, halve: bool = False):
        super().__init__()
        self.halve = halve
        self.conv1 = ConvNorm(entering, leaving, halve=halve)
        self.conv2 = ConvNorm(leaving, leaving)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        out = self.drop_path(self.conv2(F.relu(self.conv1(x))))
        if not self.halve:
            return F.relu(out + x)
        x = F.avg_pool2d(x, 2)
        rows, columns = x.shape[2] - out.shape[2], x.shape[3] - out.shape[3]
        out = F.pad(out, (0, columns, 0, rows))
        return F.relu(out + F.pad(x, (0, 0, 0, 0, 0, out.shape[1] - x.shape[1])))


class DlibResNet(nn.Module):
    """Pictures (N, 3, S, S) as (byte - 127.5) / 127.5, RGB -> pooled features (N, 256), or logits with ``num_classes``.

    ``mean`` is that of the pixels that the network was trained on, red first.
    """

    def __init__(self, num_classes: int = 0, drop_path_rate: float = 0.0):
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor([122.782, 117.001, 104.298])[:, None, None])
        self.stem = ConvNorm(3, STAGES[0][0], 7, halve=True)
        blocks, entering = [], STAGES[0][0]
        for channels, count, halve in STAGES:
            if halve:
                blocks.append(Block(entering, channels, drop_path_rate, halve=True))
            blocks += [Block(channels, channels, drop_path_rate) for _ in range(count)]
            entering = channels
        blocks.append(Block(entering, entering, drop_path_rate, halve=True))
        self.blocks = nn.Sequential(*blocks)
        self.num_features = entering
        self.classifier = nn.Linear(entering, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = (x * 127.5 + 127.5 - self.mean) / 255
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2)
        out: Tensor = self.classifier(self.blocks(x).mean((2, 3)))
        return out


@register_model
def dlib_resnet29(pretrained: bool = False, **options: Any) -> DlibResNet:
    """The entry point for timm. Weights come from ``mien_train.models.pretrained``, so ``pretrained`` does nothing."""
    return DlibResNet(**{name: options[name] for name in ("num_classes", "drop_path_rate") if name in options})
