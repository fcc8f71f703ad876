"""Sequences of one face: the student's outputs on each frame, and what the face really showed."""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien_train.temporal.scenes import STILLS, Scenes

Values = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sequences:
    """S sequences of at most F frames. ``times`` (S, F) s, inf beyond the end of a shorter one.

    The student's outputs: ``embedding`` (S, F, D), ``expression`` (S, F, 8) calibrated probabilities, ``affect``
    (S, F, 2). The truth: ``label`` (S, F) class or -1, ``truth`` (S, F, 2) valence and arousal or NaN.
    """

    times: Values
    embedding: Floats
    expression: Floats
    affect: Floats
    label: NDArray[np.int64]
    truth: Floats

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: NDArray[np.int64]) -> Sequences:
        return Sequences(**{name: values[rows] for name, values in vars(self).items()})


def realize(
    scenes: Scenes, rows: Rows[int] | NDArray[np.int64], rng: np.random.Generator, steady: float = 0.0
) -> Sequences:
    """One sequence of each scene of ``rows``: a path between its stills (``weights``) or, in a share ``steady`` of
    them, a single still.

    Embeddings, valence and arousal are mixed by those weights, and so are log probabilities: the student's logits are
    linear in its embedding, so these are its outputs for the mixed embedding, except for the temperature. The label is
    that of the still with the largest weight, so it changes halfway.
    """
    chosen = scenes.take(np.asarray(rows))
    share = np.stack(
        [
            np.tile(np.eye(STILLS, dtype=np.float32)[rng.integers(STILLS)], (len(times), 1))
            if steady and rng.random() < steady
            else weights(times, rng)
            for times in chosen.times
        ]
    )  # (S, F, 3)
    # A matrix product for each frame; einsum would take ten times as long.
    embedding = share[:, :, None, :] @ chosen.embedding.transpose(0, 2, 1, 3).astype(np.float32)
    logs = np.log(np.maximum(chosen.expression, 1e-6))
    mixed = np.exp(np.einsum("sfk,skfc->sfc", share, logs))
    return Sequences(
        times=chosen.times,
        embedding=embedding[:, :, 0].astype(np.float32),
        expression=(mixed / mixed.sum(-1, keepdims=True)).astype(np.float32),
        affect=np.einsum("sfk,skfc->sfc", share, chosen.affect).astype(np.float32),
        label=np.take_along_axis(chosen.labels, share.argmax(-1), axis=1),
        truth=np.einsum("sfk,skc->sfc", share, chosen.truth).astype(np.float32),
    )


def weights(times: Values, rng: np.random.Generator) -> Floats:
    """(F, 3) shares of the stills, which add up to 1: neutral for a while, the onset of an expression in 0.1 to 0.6 s,
    an apex of 0.5 to 2.5 s at 70 to 100 %, then back to neutral or on to the other expression; starting anywhere."""
    share: Floats = np.zeros((len(times), STILLS), np.float32)
    goal = np.eye(STILLS)[0] if rng.random() < 0.6 else _apex(rng)
    share[:] = goal
    at = rng.uniform(0.0, 1.5)
    while at < times[-1]:
        before = goal
        rests = goal[0] <= 0.5 and rng.random() < 0.7
        goal = np.eye(STILLS)[0] if rests else _apex(rng)
        length = rng.uniform(0.1, 0.6)
        done = np.clip((times - at) / length, 0, 1)[:, None]
        done = done * done * (3 - 2 * done)
        share = np.where(times[:, None] >= at, before + (goal - before) * done, share).astype(np.float32)
        at += length + (rng.uniform(0.4, 1.5) if goal[0] > 0.5 else rng.uniform(0.5, 2.5))
    return share


def _apex(rng: np.random.Generator) -> Values:
    goal: Values = np.zeros(STILLS)
    goal[rng.integers(1, STILLS)] = strength = rng.uniform(0.7, 1.0)
    goal[0] = 1 - strength
    return goal


def gather(times: Values, asked: NDArray[np.int64], window: int, *, centered: bool) -> tuple[NDArray[np.int64], Floats]:
    """The frames that the encoder sees: ``times`` (S, F), ``asked`` (S, Q) frames -> (S, Q, T) indices, that of the
    asked frame first, and their ages in s, inf where there is no frame."""
    count = times.shape[1]
    later = window // 2 if centered else 0
    steps = np.concatenate([np.arange(0, later - window, -1), np.arange(1, later + 1)])
    index = asked[..., None] + steps
    inside = (index >= 0) & (index < count)
    index = np.clip(index, 0, count - 1)
    rows = np.arange(len(times))[:, None, None]
    with np.errstate(invalid="ignore"):  # beyond the end of a shorter sequence
        ages = times[rows, asked[..., None]] - times[rows, index]
    return index, np.where(inside & np.isfinite(ages), ages, np.inf).astype(np.float32)
