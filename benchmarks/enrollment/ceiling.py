"""How well could any linear reader of the packaged embeddings tell compounds, with every example there is?

    python -m benchmarks.enrollment.ceiling --data FACES

What ``personal.py`` is held against. A multinomial regression with an L2 penalty, all classes weighing alike, learns
from *all* training and validation faces of FER+, basic and compound, near-duplicates of test faces aside. Basic faces
keep the model's own probabilities among themselves, as on the device. Then three of the six compounds compete with the
eight basic expressions, in each of the 20 ways to choose them, and the readiness to call a face new is chosen *on the
test faces*, so that basic ones lose 1 point of plain accuracy (or 2, or 4), and the best penalty as well. No enrollment
from a few examples can know that much. Writes ``benchmarks/results/ceiling.json``.
"""

from __future__ import annotations

import itertools
import json

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.common import add_data, add_model, add_out, command_parser, heading, write_report
from benchmarks.enrollment.blends import COMPOUNDS, Embedded, embed
from mien.bundle import find_bundle
from mien.types import EXPRESSIONS
from mien_train.data.duplicates import repeats
from mien_train.recipe import DataRecipe

BASIC = len(EXPRESSIONS)
PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2)
LOSSES = (0.01, 0.02, 0.04)


def main() -> None:
    parser = command_parser("enrollment.ceiling", __doc__)
    add_data(parser)
    add_model(parser)
    add_out(parser, "ceiling.json")
    args = parser.parse_args()
    bundle = find_bundle(args.model)
    sets = embed(["ferplus/train", "ferplus/validation", "ferplus/test"], bundle, args.data)
    test = sets["ferplus/test"]
    fresh = [some.take(~repeats(some.hashes, test.hashes, DataRecipe().near_duplicates)) for some in sets.values()][:2]
    learned = [some.take(_labels(some) >= 0) for some in fresh]
    inputs = torch.cat([_inputs(some) for some in learned])
    label = torch.from_numpy(np.concatenate([_labels(some) for some in learned]))
    truth = _labels(test)
    seen, truth = test.take(truth >= 0), truth[truth >= 0]
    rows = []
    for penalty in PENALTIES:
        evidence = _evidence(inputs, label, _inputs(seen), penalty)
        own = np.log(np.maximum(seen.probabilities, 1e-9))
        for loss in LOSSES:
            right = [_at_loss(own, evidence[:, list(three)], three, truth, loss) for three in _threes()]
            rows.append({"penalty": penalty, "loss": loss, "all": round(float(np.mean(right)), 4)})
            print(rows[-1], flush=True)
    best = {f"{loss:g}": max(row["all"] for row in rows if row["loss"] == loss) for loss in LOSSES}
    report = {
        **heading(f"{parser.prog} --data FACES", "torch"),
        "model": bundle.card.name,
        "learned_from": {"basic": int((label < BASIC).sum()), "compound": int((label >= BASIC).sum())},
        "tested_on": {"basic": int((truth < BASIC).sum()), "compound": int((truth >= BASIC).sum())},
        "best": best,
        "rows": rows,
    }
    print(json.dumps(best))
    write_report(args.out, report)


def _labels(some: Embedded) -> NDArray[np.int64]:
    """Basic ids, then those of COMPOUNDS; -1 for none and for other blends."""
    basic = np.where(some.blend, -1, some.expression)
    return np.where(some.compound >= 0, BASIC + some.compound, basic)


def _inputs(some: Embedded) -> Tensor:
    """(N, 8 + D): log-probabilities and embedding, both scaled to about the same length."""
    embedding = 8 * some.embedding / np.linalg.norm(some.embedding, axis=1, keepdims=True)
    logs = 0.3 * np.log(np.maximum(some.probabilities, 1e-9))
    return torch.from_numpy(np.concatenate([logs, embedding], axis=1).astype(np.float32))


def _evidence(inputs: Tensor, label: Tensor, asked: Tensor, penalty: float) -> NDArray[np.float32]:
    """(n, 6): log odds of each compound against the basic expressions together, for the rows of ``asked``."""
    count = BASIC + len(COMPOUNDS)
    weight = torch.zeros(inputs.shape[1], count, requires_grad=True)
    bias = torch.zeros(count, requires_grad=True)
    alike = 1 / torch.bincount(label, minlength=count).float()[label]
    alike /= alike.sum()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimizer.zero_grad()
        each = torch.nn.functional.cross_entropy(inputs @ weight + bias, label, reduction="none")
        made = (alike * each).sum() + penalty * weight.square().sum()
        made.backward()
        return float(made)

    optimizer.step(loss)
    with torch.no_grad():
        logits = asked @ weight + bias
        return (logits[:, BASIC:] - logits[:, :BASIC].logsumexp(1, keepdim=True)).numpy()


def _threes() -> list[tuple[int, ...]]:
    return list(itertools.combinations(range(len(COMPOUNDS)), 3))


def _at_loss(
    own: NDArray[np.float32],
    evidence: NDArray[np.float32],
    three: tuple[int, ...],
    truth: NDArray[np.int64],
    loss: float,
) -> float:
    """Balanced accuracy over the three compounds with all eleven competing, basic faces losing at most ``loss``."""
    basic = truth < BASIC
    before = (own[basic].argmax(1) == truth[basic]).mean()
    places = np.array([*range(BASIC), *(BASIC + k for k in three)])
    for caution in np.arange(-4, 8, 0.05):
        made = places[np.concatenate([own, evidence - caution], axis=1).argmax(1)]
        if before - (made[basic] == truth[basic]).mean() <= loss:
            return float(np.mean([(made[truth == BASIC + k] == BASIC + k).mean() for k in three]))
    return 0.0


if __name__ == "__main__":
    main()
