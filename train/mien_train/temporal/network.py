"""The temporal encoder: a small transformer over the frames of one face around a moment (Vaswani et al. 2017).

It is causal where its input is: a live stream has only past frames. With past and later frames, as from a file, the
same weights read the frame in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mien.types import EXPRESSIONS

CLASSES = len(EXPRESSIONS)
READ = CLASSES + 2
"""Width of the part of a token that holds the student's own log probabilities, valence and arousal."""
RATES = 8
"""Sine waves that encode an age, from 0.25 to 8 Hz."""


@dataclass(frozen=True)
class TemporalShape:
    """``embedding``: D of the student. ``window``: frames that it sees at a time. ``span``: age in s beyond which a
    frame is ignored. ``width`` and ``heads`` of the attention. ``dropout`` in training."""

    embedding: int
    window: int = 32
    span: float = 2.0
    width: int = 64
    heads: int = 4
    dropout: float = 0.3


class TemporalNet(nn.Module):
    """Frames of one face -> expression and affect at the first of them."""

    def __init__(self, shape: TemporalShape):
        super().__init__()
        self.shape = shape
        width = shape.width
        self.norm = nn.LayerNorm(shape.embedding, elementwise_affine=False)
        self.drop = nn.Dropout(2 * shape.dropout)
        self.project = nn.Linear(shape.embedding, width)
        self.say = nn.Linear(READ, width)
        self.place = nn.Linear(2 * RATES + 1, width)
        rates = 2 * torch.pi * 0.25 * 2 ** torch.linspace(0, 5, RATES)
        self.rates: Tensor
        self.register_buffer("rates", rates, persistent=False)
        self.now = Block(width, shape.heads, shape.dropout)
        self.ask, self.offer = nn.Linear(width, width), nn.Linear(width, width)
        self.fade = nn.Parameter(torch.tensor(5.0))
        self.sharpen = nn.Parameter(torch.tensor(1.0))
        self.correct = nn.Linear(width, READ)
        nn.init.zeros_(self.ask.weight)
        nn.init.zeros_(self.ask.bias)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def token(self, embedding: Tensor, expression: Tensor, affect: Tensor) -> Tensor:
        """The student's outputs on frames, (..., D), (..., 8), (..., 2) -> tokens (..., width + READ), which a stream
        keeps."""
        read = torch.cat([expression.clamp_min(1e-4).log(), affect], dim=-1)
        return torch.cat([self.project(self.drop(self.norm(embedding))) + self.say(read), read], dim=-1)

    def forward(self, tokens: Tensor, ages: Tensor) -> tuple[Tensor, Tensor]:
        """``tokens`` (N, T, width + READ), that of the frame in question first; ``ages`` (N, T): s from each frame to
        that one, below 0 for later frames; frames beyond ``span`` are ignored. Returns logits (N, 8) and affect (N, 2).

        The output starts as a mean of the student's outputs, weighted by attention and age, and is then corrected. An
        untrained encoder is a filter of 0.2 s.
        """
        width = self.shape.width
        hidden, read = tokens.split([width, READ], dim=-1)
        near = ages.abs() <= self.shape.span
        ages = torch.where(near, ages, 0.0)
        mask = torch.where(near, 0.0, -1e4)[:, None]  # (N, 1, T)
        moments = ages[..., None]
        waves = moments * self.rates
        hidden = hidden + self.place(torch.cat([waves.sin(), waves.cos(), moments], dim=-1))
        newest = self.now(hidden, mask)
        # As in Block, the keys' weights are applied to the query. Their bias adds the same to all, and cancels out.
        asked = self.ask(newest) @ self.offer.weight / width**0.5
        scores = asked[:, None] @ hidden.transpose(1, 2) + mask - self.fade.abs() * ages.abs()[:, None]
        mean = (scores.softmax(-1) @ read)[:, 0]
        scale = torch.cat([self.sharpen.expand(CLASSES), torch.ones(2)])
        output = torch.addcmul(self.correct(newest), mean, scale)
        logits, affect = output.split([CLASSES, 2], dim=1)
        return logits, affect


class Block(nn.Module):
    """Attention of the first token to all, then two dense layers; both have a norm before them, and a shortcut.

    Only the first token has a query: another block of attention from all to all cost several times as much and gained a
    thousandth on validation sequences. So keys and values are never computed: q . (K x) = (K' q) . x, and the sum of V
    x is V of the sum. A key's bias adds the same to all, and cancels out.
    """

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.pair, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``hidden`` (N, T, W); ``mask`` (N, 1, T), added to the scores. Returns the first token, (N, W)."""
        known = self.before(hidden)
        key, value = self.pair.weight.unflatten(0, (2, self.heads, -1))  # each (H, W / H, W)
        query = self.query(known[:, 0]).unflatten(-1, (self.heads, 1, -1))
        asked = (query @ key).squeeze(2) / query.shape[-1] ** 0.5  # (N, H, W)
        share = (asked @ known.transpose(1, 2) + mask).softmax(-1)
        found = ((share @ known)[:, :, None] @ value.transpose(1, 2)).flatten(1)
        newest = hidden[:, 0] + self.drop(self.out(found + self.pair.bias[found.shape[-1] :]))
        return newest + self.drop(self.dense(self.between(newest)))


class TemporalDeployed(nn.Module):
    """The encoder as devices run it: on one new frame, and the tokens of other frames."""

    def __init__(self, net: TemporalNet):
        super().__init__()
        self.net = net

    def forward(
        self, embedding: Tensor, expression: Tensor, affect: Tensor, past: Tensor, ages: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``embedding`` (N, D), ``expression`` (N, 8) and ``affect`` (N, 2) of the frame in question; ``past``
        (N, T - 1, width + READ) and their ``ages`` (N, T - 1). Returns the smoothed ``expression`` and ``affect``, and
        the frame's ``token`` (N, width + READ), to be kept."""
        token = self.net.token(embedding, expression, affect)
        tokens = torch.cat([token[:, None], past], dim=1)
        logits, smoothed = self.net(tokens, torch.cat([affect[:, :1] * 0.0, ages], dim=1))
        return logits.softmax(-1), smoothed.clamp(-1, 1), token


def count_macs(shape: TemporalShape) -> int:
    """Multiply-accumulates for one face in one frame, from the sizes of all matrix products."""
    t, w = shape.window, shape.width
    token = shape.embedding * w + READ * w
    place = t * (2 * RATES + 1) * w
    attention = 3 * w * w + 2 * shape.heads * t * w + w * w  # query, keys and values for it; scores and sums; out
    pooling = 2 * w * w + t * w + t * READ
    return token + place + attention + 4 * w * w + pooling + w * READ
