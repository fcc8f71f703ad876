"""What a teacher is: it takes crops in any format, and gives outputs in canonical order."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.align import CropSpec
from mien.errors import InputError
from mien.types import EXPRESSIONS


class TeacherOutput(NamedTuple):
    """``logits`` (N, 8) in canonical order, NaN in the columns of classes that the teacher does not know.

    ``affect`` (N, 2) valence and arousal in [-1, 1], NaN where it gives none. ``embedding`` (N, D), or None.
    """

    logits: Tensor
    affect: Tensor
    embedding: Tensor | None = None


class Teacher(Protocol):
    """A network that a student can learn from.

    ``crop``: how it wants faces cut. ``identity``: hash of its weights and of all else that changes its outputs, so
    that cached outputs are never mistaken for another teacher's.
    """

    name: str
    crop: CropSpec
    identity: str

    def __call__(self, crops: Tensor, spec: CropSpec) -> TeacherOutput:
        """``crops``: uint8 (N, H, W, 3) RGB, cut by ``spec``; the teacher converts them to its own format."""
        ...


def recrop(crops: Tensor, spec: CropSpec, own: CropSpec) -> Tensor:
    """Crops cut by ``spec``, uint8 (N, H, W, 3) -> as ``own`` would cut them, float32 (N, 3, S, S) in [0, 255].

    Both cut around the same center, so the crops are only scaled; where ``own`` sees more, the border is repeated. This
    is exact where the two differ only in size and scale. Where one follows the box and the other the landmarks, it is
    right on average.
    """
    x = crops.permute(0, 3, 1, 2).float()
    ratio = own.scale / spec.scale
    if abs(ratio - 1) > 1e-6:
        theta = torch.tensor([[ratio, 0.0, 0.0], [0.0, ratio, 0.0]], device=x.device).expand(len(x), 2, 3)
        side = max(1, round(x.shape[2] * ratio))
        grid = F.affine_grid(theta, [len(x), 3, side, side], align_corners=False)
        x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    if x.shape[2] != own.size:
        x = F.interpolate(x, (own.size, own.size), mode="bilinear", align_corners=False, antialias=True)
    return x


def check_classes(classes: tuple[str, ...]) -> None:
    """Raises InputError unless these are canonical classes, each at most once."""
    if not set(classes) <= set(EXPRESSIONS) or len(set(classes)) != len(classes):
        raise InputError(
            f"teacher classes must be different ones of {', '.join(EXPRESSIONS)}; not {', '.join(classes)}"
        )


def to_canonical(logits: Tensor, classes: tuple[str, ...]) -> Tensor:
    """(N, len(classes)) in the teacher's order -> (N, 8) in the canonical one, NaN for classes that it does not
    know."""
    canonical = logits.new_full((len(logits), len(EXPRESSIONS)), float("nan"))
    canonical[:, [EXPRESSIONS.index(name) for name in classes]] = logits
    return canonical


def known_log_softmax(logits: Tensor) -> Tensor:
    """Log-softmax over the columns that are not NaN; the others stay NaN."""
    known = ~logits.isnan()
    return torch.where(known, logits.masked_fill(~known, -torch.inf).log_softmax(1), logits)
