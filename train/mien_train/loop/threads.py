"""How many threads torch computes with."""

from __future__ import annotations

import torch

from mien.validation import check_threads


def use_threads(threads: int | None) -> None:
    """Set the number of torch's threads; None leaves it as it is. Raises InputError for a number that cannot be."""
    count = check_threads(threads)
    if count is not None:
        torch.set_num_threads(count)
