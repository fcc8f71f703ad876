"""A folder of one's own: a folder for each class, named after it, with pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.errors import InputError
from mien.sources.stills.kinds import SUFFIXES
from mien.types import EXPRESSIONS

WANTED = f"one folder per class, named {', '.join(EXPRESSIONS)}"


def pictures_by_class(folder: Path) -> tuple[list[Path], list[int]]:
    """The pictures below each class's folder, and the class of each as its place in ``EXPRESSIONS``.

    Hidden files, files of other kinds and empty folders are left out. Raises InputError for pictures outside of such
    folders, for folders with other names, and where there is no picture at all.
    """
    paths, labels = [], []
    for place in sorted(folder.iterdir()):
        found = list(_pictures(place))
        if not found:
            continue
        if place in found:
            raise InputError(f"{place} lies outside of the classes' folders; {folder} must hold {WANTED}")
        if place.name.lower() not in EXPRESSIONS:
            classes = [path for path in place.iterdir() if path.name.lower() in EXPRESSIONS]
            remedy = f"name {place} instead" if classes else f"use folders named {', '.join(EXPRESSIONS)}"
            raise InputError(f"{place} is not a class; {remedy}")
        paths += found
        labels += [EXPRESSIONS.index(place.name.lower())] * len(found)
    if not paths:
        raise InputError(f"{folder} holds no pictures; it must hold {WANTED}, with pictures in them")
    return paths, labels


def _pictures(place: Path) -> Iterator[Path]:
    """``place`` itself or, for a folder, what lies below it."""
    if place.name.startswith("."):
        return
    if place.is_dir():
        for path in sorted(place.iterdir()):
            yield from _pictures(path)
    elif place.suffix.lower() in SUFFIXES:
        yield place
