"""Checks and names of output files, before anything is opened or overwritten."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mien.errors import OutputError


class Reads(Protocol):
    """Anything that reads files, such as a source. ``paths``: those files."""

    @property
    def paths(self) -> Sequence[Path]: ...


@dataclass(frozen=True)
class Inputs:
    """The files that several sources read."""

    paths: Sequence[Path]


def check_output(path: str, source: Reads) -> None:
    """OutputError if no file can be written at ``path`` (``-`` is stdout), or if ``source`` reads it.

    Nothing is opened or emptied yet, so results of an earlier run survive a model that fails to load.
    """
    if path == "-":
        return
    check_name(path)
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file")
    check_folder(target.absolute().parent)
    if target.exists() and not os.access(target, os.W_OK):
        raise OutputError(f"no permission to write {path}; choose another name")
    if target.exists() and any(os.path.exists(read) and target.samefile(read) for read in source.paths):
        raise OutputError(f"{path} is the file that is read and would be overwritten; choose another name")


def check_name(path: str) -> None:
    """OutputError for a name that the file system does not allow."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # later checks explain these better
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"cannot write {path[:80]}...: {why}; choose another name") from error


def names_folder(path: str) -> bool:
    """Whether ``path`` is a folder, or ends as the name of one does."""
    return os.path.isdir(path) or path.endswith(("/", os.sep))


def check_into(path: str, source: Reads) -> None:
    """OutputError if no files can be created in the folder ``path``, which need not exist yet, or if ``source`` reads
    files in it, which could be overwritten."""
    check_name(path)
    target = Path(path)
    check_folder(target if target.exists() else target.absolute().parent)
    if target.exists() and any(read.parent.exists() and target.samefile(read.parent) for read in source.paths):
        raise OutputError(f"{path} holds the files that are read, which would be overwritten; choose another folder")


def make_folder(path: Path) -> None:
    """Create the folder ``path`` if it does not exist. OutputError if that fails."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the folder {path}: {error.strerror}; choose another") from error


def free_name(stem: str, suffixes: Sequence[str], taken: set[str], number: int = 2) -> str:
    """``stem``, or ``stem-number`` and so on if ``taken`` holds it with one of ``suffixes``. Adds it to ``taken``."""
    chosen = stem
    while any(chosen + suffix in taken for suffix in suffixes):
        chosen, number = f"{stem}-{number}", number + 1
    taken.update(chosen + suffix for suffix in suffixes)
    return chosen


def check_distinct(paths: Sequence[str]) -> None:
    """OutputError if two outputs would go to the same file."""
    files = [os.path.realpath(path) for path in paths]
    for path in files:
        if files.count(path) > 1:
            raise OutputError(f"two outputs would go to {path}; give each its own name")


def check_folder(folder: Path) -> None:
    """OutputError if no file can be created in ``folder``."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder; choose another place")
    if not os.path.isdir(folder):
        raise OutputError(f"the folder {folder} does not exist; create it with: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"no permission to write in the folder {folder}; choose another place")
