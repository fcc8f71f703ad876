"""Compound expressions by their names, and the two basic expressions that each is made of."""

from __future__ import annotations

from mien.errors import InputError
from mien.types import EXPRESSIONS

COMPOUNDS = {
    "happily surprised": ("happiness", "surprise"),
    "happily disgusted": ("happiness", "disgust"),
    "sadly fearful": ("sadness", "fear"),
    "sadly angry": ("sadness", "anger"),
    "sadly surprised": ("sadness", "surprise"),
    "sadly disgusted": ("sadness", "disgust"),
    "fearfully angry": ("fear", "anger"),
    "fearfully surprised": ("fear", "surprise"),
    "fearfully disgusted": ("fear", "disgust"),
    "angrily surprised": ("anger", "surprise"),
    "angrily disgusted": ("anger", "disgust"),
    "disgustedly surprised": ("disgust", "surprise"),
}
"""The compounds of two basic expressions that Du, Tao & Martinez 2014 (PNAS 111(15):E1454) name after them."""
STRESSED = {"appalled": ("disgust", "anger"), "hatred": ("anger", "disgust"), "awed": ("surprise", "fear")}
"""Their three categories with names of their own: blends in which the first expression has the emphasis."""


def parents(name: str) -> tuple[int, int]:
    """Canonical ids of the two expressions of a compound. Raises InputError for a name that is none."""
    if name not in COMPOUNDS:
        raise InputError(f"unknown compound {name!r}; they are {', '.join(COMPOUNDS)}")
    first, second = COMPOUNDS[name]
    return EXPRESSIONS.index(first), EXPRESSIONS.index(second)


def blend_of(name: str) -> dict[int, float]:
    """Shares of the basic expressions, by canonical id, in a category of CFEE: halves of a compound, two thirds and a
    third where one has the emphasis; empty for any other name."""
    if name in COMPOUNDS:
        return dict.fromkeys(parents(name), 0.5)
    shares = zip(STRESSED.get(name, ()), (2 / 3, 1 / 3), strict=False)
    return {EXPRESSIONS.index(part): share for part, share in shares}
