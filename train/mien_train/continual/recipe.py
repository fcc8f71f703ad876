"""Recipes of continual learning, as TOML files."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.errors import InputError
from mien_train.continual.classes import class_names
from mien_train.recipe import recipes_folder
from mien_train.settings import apply_changes, build, plain, read_toml

DEFAULT = "compounds"
"""The packaged recipe that is used where none is named; messages name it first."""


@dataclass(frozen=True)
class ClassesRecipe:
    compounds: tuple[str, ...] = (
        "fearfully surprised", "happily surprised", "angrily surprised", "sadly angry", "angrily disgusted",
        "sadly fearful",
    )  # fmt: skip
    """The new classes, in the order in which they are learned."""
    train: tuple[str, ...] = ("ferplus/train", "ferplus/validation")
    test: tuple[str, ...] = ("ferplus/test",)
    """Sets (whose votes or names show compounds), or ``FOLDER/train`` and ``FOLDER/test`` of CFEE or RAF-DB
    compound."""
    split: str = "sets"
    """Who is tested. ``sets``: the sets of ``test``, and in CFEE nobody who was learned from. ``images``: one in five
    images of ``test``, another fifth for each order of the classes, and the other four are learned from, too, so that
    the people are known. Only ``fer-train continual --compare`` knows the second."""
    basic: int = 300
    """Images of each basic class that the memory is chosen from (and that joint training uses)."""
    near_duplicates: int = 24
    """As in a student's recipe: images too similar to one of ``test`` are left out; -1 keeps all."""


@dataclass(frozen=True)
class MemoryRecipe:
    size: int = 560
    """Images kept of all classes together, where the memory has a fixed size."""
    grows: bool = False
    """Keep ``each`` images of every class, rather than a fixed number in all."""
    each: int = 40


@dataclass(frozen=True)
class LearnRecipe:
    blocks: int = 1
    """Top blocks of the network that are fine-tuned; 0 leaves the head and what lies between it and the blocks. The
    output of all blocks below is computed once."""
    epochs: int = 5
    """For each new class, each of so many ``steps``: the same budget for every method."""
    steps: int = 8
    batch: int = 64
    rate: float = 1e-4
    """Learning rate of the blocks (AdamW, cosine to zero); the head's is ``head`` times as high."""
    head: float = 10.0
    share: float = 0.25
    """Share of the new class in a batch; the rest comes from the memory, every class equally often."""
    gamma: float = 0.5
    """Weight of the teacher in the loss at first; it is multiplied by ``decay`` after every epoch."""
    decay: float = 0.8
    temperature: float = 3.0
    caution: float = 2.0
    """Subtracted from the logits of the new classes in predictions: batches are balanced, but most faces show a basic
    expression (a prior, as in logit adjustment, Menon et al. 2021)."""
    views: int = 2
    """Of each face: the crop, its mirror image, and beyond these two, crops changed at random as in training."""
    precision: str = "bf16"
    """Precision of the network: no or bf16."""


@dataclass(frozen=True)
class ContinualRecipe:
    seed: int = 0
    classes: ClassesRecipe = field(default_factory=ClassesRecipe)
    memory: MemoryRecipe = field(default_factory=MemoryRecipe)
    learn: LearnRecipe = field(default_factory=LearnRecipe)

    def __post_init__(self) -> None:
        learn, memory = self.learn, self.memory
        count = len(class_names(self.classes.compounds))
        too_low = min(learn.blocks + 1, learn.epochs, learn.steps, learn.batch - 1, self.classes.basic) < 1
        for wrong, what in (
            (too_low, "learn.epochs, learn.steps and classes.basic must be 1 or more, learn.blocks 0, learn.batch 2"),
            (self.seed < 0, "seed must be 0 or more"),
            (learn.views < 2, "learn.views must be 2 or more: the crop and its mirror image"),
            (self.classes.split not in ("sets", "images"), "classes.split must be sets or images"),
            (not 0 < learn.share < 1, "learn.share must lie between 0 and 1"),
            (not 0 <= learn.gamma <= 1 or not 0 <= learn.decay <= 1, "learn.gamma and learn.decay must lie in [0, 1]"),
            (learn.temperature <= 0 or learn.rate <= 0, "learn.temperature and learn.rate must be above 0"),
            (learn.precision not in ("no", "bf16"), "learn.precision must be no or bf16"),
            (memory.grows and memory.each < 1, "memory.each must be 1 or more"),
            (not memory.grows and memory.size < count, f"memory.size must be {count} or more, one of each class"),
        ):
            if wrong:
                raise InputError(f"recipe: {what}")

    def to_dict(self) -> dict[str, Any]:
        """As ``build`` reads it: tuples as lists, like TOML."""
        return {key: plain(value) for key, value in dataclasses.asdict(self).items()}


def load_continual(name: str, changes: tuple[str, ...] = ()) -> ContinualRecipe:
    """A TOML file, or a packaged name. ``changes`` are ``key.sub=value`` pairs (TOML values) that override it.

    Raises InputError for a missing or malformed file, and for keys and values that no such recipe has.
    """
    folder = recipes_folder() / "continual"
    packaged = folder / f"{name}.toml"
    path = packaged if packaged.is_file() else Path(name)
    if not path.is_file():
        known = ", ".join(
            sorted((file.stem for file in folder.glob("*.toml")), key=lambda stem: (stem != DEFAULT, stem))
        )
        raise InputError(f"no recipe at {path}; the packaged ones are {known}")
    values = read_toml(path, "recipe")
    apply_changes(values, changes)
    return build(ContinualRecipe, values)
