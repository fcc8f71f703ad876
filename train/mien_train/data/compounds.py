"""Compound expressions by name, and the two basic expressions that make up each."""

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
"""The compounds that Du, Tao & Martinez 2014 (PNAS 111(15):E1454) name after their two basic expressions."""
STRESSED = {"appalled": ("disgust", "anger"), "hatred": ("anger", "disgust"), "awed": ("surprise", "fear")}
"""Their three categories with other names: blends in which the first expression is the stronger one."""
KNOWN = (*COMPOUNDS, *STRESSED)


def parents(name: str) -> tuple[int, int]:
    """Canonical ids of the two expressions of a compound, the stronger one first. Raises InputError for any other
    name."""
    if name not in KNOWN:
        raise InputError(f"unknown compound {name!r}; they are {', '.join(KNOWN)}")
    first, second = (COMPOUNDS | STRESSED)[name]
    return EXPRESSIONS.index(first), EXPRESSIONS.index(second)


def blend_of(name: str) -> dict[int, float]:
    """Shares of the basic expressions, by canonical id, in a category of CFEE: a half each in a compound, two thirds
    and one third where one is stronger; empty for any other name."""
    if name in COMPOUNDS:
        return dict.fromkeys(parents(name), 0.5)
    shares = zip(STRESSED.get(name, ()), (2 / 3, 1 / 3), strict=False)
    return {EXPRESSIONS.index(part): share for part, share in shares}
