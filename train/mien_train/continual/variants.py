"""A method with settings of its own, such as ``psmr+kd:learn.temperature=1,learn.gamma=0.5``: a rival can be given the
rate and the caution that suit it, and one setting can be compared at several values, all in one report."""

from __future__ import annotations

from typing import NamedTuple

from mien.errors import InputError
from mien_train.continual.learner import METHODS, Method
from mien_train.continual.recipe import ContinualRecipe
from mien_train.settings import apply_changes, build

SHARED = ("learn.blocks", "learn.views", "learn.precision")
"""What the features on disk depend on, so that it is the same for all."""


class Variant(NamedTuple):
    method: Method
    recipe: ContinualRecipe


def variant_of(text: str, recipe: ContinualRecipe) -> Variant:
    """``METHOD`` or ``METHOD:KEY=VALUE,KEY=VALUE``. Raises InputError for unknown methods and keys, and for keys
    outside ``learn`` and ``memory`` or that all methods share."""
    name, _, changes = text.partition(":")
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}; they are {', '.join(METHODS)}")
    values, pairs = recipe.to_dict(), tuple(changes.split(",")) if changes else ()
    for pair in pairs:
        key = pair.partition("=")[0].strip()
        if not key.startswith(("learn.", "memory.")) or key in SHARED:
            raise InputError(f"method {text!r}: {key} is the same for all methods; use --set")
    apply_changes(values, pairs)
    return Variant(METHODS[name], build(ContinualRecipe, values))


def file_of(text: str) -> str:
    """A variant's name as part of a file's name, which must not have a colon on some systems."""
    return text.replace(":", "@")
