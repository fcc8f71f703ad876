"""The extras of pyproject.toml, and whether what they name is installed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from code_blocks import ROOT
from packaging.requirements import Requirement

from mien_train.settings import read_toml

EXTRAS: dict[str, list[str]] = read_toml(ROOT / "pyproject.toml", "project")["project"]["optional-dependencies"]


def named(words: Sequence[str]) -> list[str]:
    """The extras of mien that ``pip install`` with these words asks for."""
    found = [re.fullmatch(r"(?:\.|mien)\[([\w,-]+)\]", word) for word in words]
    return [extra for match in found if match for extra in match[1].split(",")]


def lacking(words: Sequence[str]) -> list[str]:
    """What ``pip install`` with these words would have to install, and extras that do not exist."""
    return [
        text
        for extra in named(words)
        for text in EXTRAS.get(extra, [f"there is no extra {extra}"])
        if extra not in EXTRAS or not _installed(Requirement(text))
    ]


def _installed(wanted: Requirement) -> bool:
    if wanted.marker and not wanted.marker.evaluate():
        return True
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False
