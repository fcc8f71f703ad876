"""Does a compound look at the regions of its two basic expressions? Maps of Grad-CAM against chance, on CFEE.

    python -m benchmarks.accuracy.gradcam runs/continual/continual.pt --data FACES

arXiv 2308.06197 says so of its pictures. For each face of CFEE's test people that shows a compound, the map of that
class is held against those of its two basic expressions, and against those of the four others of the six: the mean
correlation of the maps' cells, and how much of the strongest quarter of cells is shared (intersection over union). The
difference is what the claim says: maps of any two classes are alike to some degree, as all look at a face. ``closer``
is the share of faces where it is positive. ``fresh`` is a linear reader of 22 classes that learned from zero, on
embeddings of CFEE's training people. ``grown`` is the head of a network that has learned compounds (``fer-train
continual``), whose rows began between their two basic expressions; ``start`` is what those rows are without any
learning, so only what ``grown`` differs from it was learned. Means with 95 % intervals over people. Writes
``benchmarks/results/gradcam.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.common import add_data, add_out, command_parser, heading, write_report
from mien.types import EXPRESSIONS
from mien_train.continual.explain import likeness
from mien_train.continual.network import all_blocks, load_grown
from mien_train.data.compounds import COMPOUNDS, STRESSED, blend_of
from mien_train.data.sets import load_with_landmarks
from mien_train.models.student import Student

NAMES = (*COMPOUNDS, *STRESSED)
CLASSES = (*EXPRESSIONS, *NAMES)
SIX = [EXPRESSIONS.index(name) for name in ("happiness", "sadness", "surprise", "fear", "disgust", "anger")]
BATCH, PENALTY, RESAMPLES = 32, 1e-3, 2000


def main() -> None:
    parser = command_parser("accuracy.gradcam", __doc__)
    parser.add_argument("student", help="checkpoint (.pt; of continual, too), bundle folder, or default")
    add_data(parser)
    add_out(parser, "gradcam.json")
    args = parser.parse_args()
    torch.manual_seed(0)
    student, recipe, head, names = load_grown(args.student)
    all_blocks(student)  # raises for a backbone of another kind
    train, test = (cells_of(student, f"cfee/{part}", recipe.crop, args.data) for part in ("train", "test"))
    heads = {"start": start_of(student.expression), "fresh": fresh_head(train[0], train[1])}
    if set(NAMES) <= set(names):
        order = [names.index(name) for name in CLASSES]
        heads["grown"] = (head.weight[order].detach(), head.bias[order].detach())
    report: dict[str, Any] = {
        **heading(f"{parser.prog} STUDENT --data FACES", "torch"),
        "faces": int((test[1] >= len(EXPRESSIONS)).sum()),
        "people": len(np.unique(test[2])),
        "cells": list(test[0].shape[2:]),
        "heads": {name: compared(*test, *both) for name, both in heads.items()},
    }
    print(json.dumps(report, indent=1))
    write_report(args.out, report)


@torch.no_grad()
def cells_of(student: Student, name: str, spec: Any, root: Path) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64]]:
    """The layer before the pooling (N, D, h, w) of the faces of a set, their indices into CLASSES, and the people."""
    item = load_with_landmarks(name, root)
    faces, kept = item.faces, []
    hook = student.backbone.get_submodule("bn2").register_forward_hook(lambda *parts: kept.append(parts[-1]))
    student.eval()
    for start in range(0, len(faces), BATCH):
        rows = range(start, min(start + BATCH, len(faces)))
        crops = torch.from_numpy(np.stack([item.crop(i, spec) for i in rows])).permute(0, 3, 1, 2).float()
        student.backbone((crops - 127.5) / 127.5)
    hook.remove()
    category = np.array(faces.rows["category"])[faces.index]
    named = np.array([CLASSES.index(name) if name in NAMES else -1 for name in category])
    people = faces.people()
    assert people is not None
    return torch.cat(kept), np.where(faces.expression >= 0, faces.expression, named), people


def start_of(head: nn.Linear) -> tuple[Tensor, Tensor]:
    """A row for each of CLASSES: the basic head, and compounds between their two expressions."""
    mix = torch.eye(len(CLASSES), len(EXPRESSIONS))
    for place, name in enumerate(NAMES, start=len(EXPRESSIONS)):
        for part, share in blend_of(name).items():
            mix[place, part] = share
    return mix @ head.weight.detach(), mix @ head.bias.detach()


def fresh_head(cells: Tensor, label: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Multinomial regression from zero, all classes alike."""
    embedding, truth = cells.mean(dim=(2, 3)), torch.from_numpy(label)
    scale = embedding.std()
    weight = torch.zeros(len(CLASSES), embedding.shape[1], requires_grad=True)
    bias = torch.zeros(len(CLASSES), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        made = nn.functional.cross_entropy(embedding / scale @ weight.T + bias, truth)
        made = made + PENALTY * weight.square().sum()
        made.backward()
        return made

    optimizer.step(loss)
    return weight.detach() / scale, bias.detach()


def compared(
    cells: Tensor, label: NDArray[np.int64], people: NDArray[np.int64], weight: Tensor, bias: Tensor
) -> dict[str, Any]:
    """How alike the map of each compound is to those of its two expressions and to others, and the difference."""
    heat = grad_cam(cells, weight)
    made = (cells.mean(dim=(2, 3)) @ weight.T + bias).argmax(dim=1).numpy()
    rows = np.flatnonzero(label >= len(EXPRESSIONS))
    found: dict[str, Any] = {"right": round(float((made == label)[rows].mean()), 4)}
    for name, measure in (("correlation", likeness), ("overlap", overlap)):
        parts, others = [], []
        for row in rows:
            own = list(blend_of(CLASSES[label[row]]))
            each = {basic: measure(heat[row, label[row]], heat[row, basic]) for basic in SIX}
            parts.append(_mean([each[basic] for basic in own]))
            others.append(_mean([each[basic] for basic in SIX if basic not in own]))
        gap = np.array(parts) - np.array(others)
        found[name] = {
            "its two": figure(np.array(parts), people[rows]),
            "others": figure(np.array(others), people[rows]),
            "difference": figure(gap, people[rows]),
            "closer": figure(np.where(np.isnan(gap), np.nan, gap > 0), people[rows]),
        }
    return found


def grad_cam(cells: Tensor, weight: Tensor) -> NDArray[np.float32]:
    """(N, C, h, w), not negative. With a pooling and a linear head above the layer, Grad-CAM's weights are the head's
    own (Zhou et al. 2016), so no gradients are needed."""
    heat: NDArray[np.float32] = torch.einsum("ndhw,cd->nchw", cells, weight).clamp(min=0).numpy()
    return heat


def overlap(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Intersection over union of the strongest quarter of the cells; NaN where a map has fewer cells above 0."""
    count = first.size // 4
    if min((first > 0).sum(), (second > 0).sum()) < count:
        return float("nan")
    one, two = (set(np.argsort(-side, axis=None, kind="stable")[:count].tolist()) for side in (first, second))
    return len(one & two) / len(one | two)


def figure(values: NDArray[np.float64], people: NDArray[np.int64]) -> list[float]:
    """The mean over faces and its 95 % interval over people."""
    _, who = np.unique(people, return_inverse=True)
    told = ~np.isnan(values)
    total, count = (
        np.bincount(who[told], weights=part[told], minlength=who.max() + 1) for part in (values, told * 1.0)
    )
    drawn = np.random.default_rng(0).integers(0, len(total), (RESAMPLES, len(total)))
    ends = np.percentile(total[drawn].sum(axis=1) / count[drawn].sum(axis=1), (2.5, 97.5))
    return [round(float(value), 4) for value in (values[told].mean(), *ends)]


def _mean(values: list[float]) -> float:
    told = [value for value in values if not np.isnan(value)]
    return float(np.mean(told)) if told else float("nan")


if __name__ == "__main__":
    main()
