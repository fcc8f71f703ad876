"""An ensemble of teachers, which see each crop as it is and mirrored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from mien.align import CropSpec
from mien.errors import InputError
from mien_train.teachers.base import Teacher, TeacherOutput, known_log_softmax


@dataclass(frozen=True)
class EnsembleSpec:
    """``members`` are paths of teachers, relative to the file that names them. ``flip``: average with the mirror."""

    members: tuple[str, ...]
    weights: tuple[float, ...] = ()
    flip: bool = True


class Ensemble:
    """Weighted mean of its members' log-probabilities (their geometric mean) and of their valence and arousal.

    A member that does not know a class, or gives no affect, does not count there. There is no common embedding.
    """

    def __init__(self, members: list[Teacher], weights: tuple[float, ...] = (), *, flip: bool = True):
        weights = weights or (1.0,) * len(members)
        if not members or len(weights) != len(members) or min(weights) <= 0:
            raise InputError("an ensemble needs one or more members, and as many weights above 0 as members (or none)")
        self.members, self.weights, self.flip = members, weights, flip
        self.name = " + ".join(member.name for member in members)
        # As large a crop as any member needs; the others are cut from it.
        scale, size = max(m.crop.scale for m in members), max(m.crop.size for m in members)
        first = members[0].crop
        self.crop = CropSpec(size, first.anchor, scale, first.rotate)
        parts = ([member.identity for member in members], weights, flip)
        self.identity = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def __call__(self, crops: Tensor, spec: CropSpec) -> TeacherOutput:
        views = [crops, crops.flip(2)] if self.flip else [crops]
        logits, affect, weights = [], [], []
        for member, weight in zip(self.members, self.weights, strict=True):
            for view in views:
                output = member(view, spec)
                logits.append(known_log_softmax(output.logits))
                affect.append(output.affect)
                weights.append(weight)
        return TeacherOutput(_mean(logits, weights), _mean(affect, weights))


def _mean(values: list[Tensor], weights: list[float]) -> Tensor:
    """Weighted mean over the values that are not NaN; NaN where all are."""
    stacked = torch.stack(values)
    known = ~stacked.isnan()
    weight = torch.tensor(weights, device=stacked.device)[:, None, None] * known
    return (torch.nan_to_num(stacked) * weight).sum(0) / weight.sum(0)
