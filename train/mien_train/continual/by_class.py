"""How well each class is told, and what it is most often taken for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien_train.continual.compare import Run, share_right
from mien_train.continual.figures import interval


def by_class(runs: list[Run], label: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, Any]:
    """At the end, by class: the number of faces, the mean over the orders of the share that is right, with its
    bootstrap interval over the faces, and the wrong class that most of them get, with its share."""
    right, last = share_right(runs, label), np.array([run.stages[-1] for run in runs])
    table = {}
    for c, name in enumerate(names):
        if not (label == c).any():
            continue
        given = last[:, label == c]
        counts = np.bincount(given[given >= 0], minlength=len(names))
        total = int(counts.sum())
        counts[c] = 0
        most = int(counts.argmax())
        table[name] = {
            "images": int((label == c).sum()),
            "right": round(float(right[label == c].mean()), 4),
            "interval": interval(right[label == c]),
            "taken_for": names[most],
            "taken": round(int(counts[most]) / total, 4),
        }
    return table
