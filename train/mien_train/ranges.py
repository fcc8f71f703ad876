"""The least and the greatest value of each number of a recipe: beyond them, training fails or spoils the student."""

from __future__ import annotations

from math import inf
from typing import Any

from mien.errors import InputError
from mien_train.settings import check_ranges

Range = tuple[float, float]
SHARE: Range = (0, 1)
MOST_SHARE: Range = (0, 0.99)
"""Of what must not be all: nothing would be left to learn from."""
ANY: Range = (0, inf)
FACTOR: Range = (1e-3, 1e3)
"""Of what is divided by, or whose logarithm is taken."""
SEEDS: Range = (0, 2**31 - 1)
AUGMENT: dict[str, Range] = {
    "rotate": (0, 180),
    "zoom": SHARE,
    "shift": SHARE,
    "colour": ANY,
    "grey": SHARE,
    "degrade": SHARE,
    "occlude": SHARE,
}
RANGES: dict[str, dict[str, Range]] = {
    "data": {
        "anchor_weight": ANY,
        "calibration_weight": ANY,
        "contempt": FACTOR,
        "holdout": MOST_SHARE,
        "near_duplicates": (-1, 256),
        "limit": ANY,
    },
    "augment": AUGMENT,
    "model": {"frozen": ANY, "dropout": MOST_SHARE, "drop_path": MOST_SHARE},
    "optim": {
        "epochs": ANY,
        "steps": ANY,
        "batch": (1, inf),
        "rate": ANY,
        "warmup": SHARE,
        "weight_decay": ANY,
        "smoothing": SHARE,
        "balance": SHARE,
        "affect_weight": ANY,
        "mix": SHARE,
        "ema": (0, 0.99999),
    },
    "distill": {
        "alpha": SHARE,
        "temperature": FACTOR,
        "margin": ANY,
        "nu": ANY,
        "features": ANY,
        "doubt": SHARE,
    },
    "semi": {"batch": ANY, "lead": ANY, "feedback": ANY},
}
"""By table and key. What only ``fer-train semi`` reads more narrowly is checked there."""
PRECISIONS = ("no", "bf16", "fp16")


def check_recipe(recipe: Any) -> None:
    """Raises InputError, which names the key, for a ``Recipe`` with a number out of its range or an unknown
    precision."""
    check_ranges("", recipe, {"seed": SEEDS, "workers": ANY})
    for table, ranges in RANGES.items():
        check_ranges(f"{table}.", getattr(recipe, table), ranges)
    check_ranges("semi.weak.", recipe.semi.weak, AUGMENT)
    if recipe.optim.precision not in PRECISIONS:
        raise InputError(f"recipe: optim.precision is {recipe.optim.precision!r}; use {', '.join(PRECISIONS)}")
