"""The extras of pyproject.toml, and whether what they name is installed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from code_blocks import ROOT
from packaging.requirements import Requirement

from mien_train.settings import read_toml

EXTRAS: dict[str, list[str]] = read_toml(ROOT / "pyproject.toml", "project")["project"]["optional-dependencies"]

INSTEAD = {"onnxruntime-gpu": "onnxruntime", "opencv-python": "opencv-python-headless"}
"""Packages of which never both may be installed: the one that the tests do without -> the one that they use."""


def named(words: Sequence[str]) -> list[str]:
    """The extras of mien that ``pip install`` with these words asks for."""
    found = [re.fullmatch(r"(?:\.|mien)\[([\w,-]+)\]", word) for word in words]
    return [extra for match in found if match for extra in match[1].split(",")]


def lacking(words: Sequence[str]) -> list[str]:
    """What ``pip install`` with these words would have to install, and extras that do not exist.

    Other packages must be named in pyproject.toml. A package that may not be installed beside one that the tests use
    counts as that one.
    """
    others = [word for word in words[1:] if re.fullmatch(r"\w[\w-]*", word)]
    known = {Requirement(text).name for texts in EXTRAS.values() for text in texts}
    return [f"pyproject.toml does not name {name}" for name in others if name not in known] + [
        text
        for extra in named(words)
        for text in EXTRAS.get(extra, [f"there is no extra {extra}"])
        if extra not in EXTRAS or not _installed(Requirement(text))
    ]


def _installed(wanted: Requirement) -> bool:
    if wanted.marker and not wanted.marker.evaluate():
        return True
    try:
        return wanted.specifier.contains(version(INSTEAD.get(wanted.name, wanted.name)), prereleases=True)
    except PackageNotFoundError:
        return False
