"""Batches that are drawn the same however often a run is stopped and resumed."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from mien_train.data.batches import SeededDraws


def seeded_loader(
    data: Dataset[Any], weights: NDArray[Any], batch: int, seed: int, start: int, stop: int, workers: int = 0
) -> DataLoader[Any]:
    """Batches of the steps ``start`` to ``stop``: rows drawn by ``weights``, each draw from ``seed`` and its number."""
    return DataLoader(
        data,
        batch,
        sampler=SeededDraws(weights, stop * batch, seed, start=start * batch),
        num_workers=workers,
        worker_init_fn=_one_thread,
        drop_last=True,
        persistent_workers=workers > 0,
    )


def _one_thread(_: int) -> None:
    """For worker processes: the cores belong to the network."""
    torch.set_num_threads(1)
