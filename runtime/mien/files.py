"""Places to write to: whether one can, before anything is lost, and files that are whole or not there."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mien.errors import OutputError


class Reads(Protocol):
    """What reads files, such as a source. ``paths``: which."""

    @property
    def paths(self) -> Sequence[Path]: ...


@dataclass(frozen=True)
class Inputs:
    """The files that several sources read."""

    paths: Sequence[Path]


def check_output(path: str, source: Reads) -> None:
    """OutputError where no file can be written at ``path`` (``-`` is stdout), or where ``source`` reads it.

    Nothing is opened or emptied yet, so a model that fails to load costs no earlier results.
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
        raise OutputError(f"{path} is what is read, and would be overwritten; choose another name")


def check_name(path: str) -> None:
    """OutputError for a name that no file can have."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # told better elsewhere
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"cannot write {path[:80]}...: {why}; choose another name") from error


def names_folder(path: str) -> bool:
    """Whether ``path`` is a folder, or ends as the name of one does."""
    return os.path.isdir(path) or path.endswith(("/", os.sep))


def check_into(path: str, source: Reads) -> None:
    """OutputError where no files can be made in the folder ``path``, which need not exist yet, or where ``source``
    reads files in it, which could be overwritten."""
    check_name(path)
    target = Path(path)
    check_folder(target if target.exists() else target.absolute().parent)
    if target.exists() and any(read.parent.exists() and target.samefile(read.parent) for read in source.paths):
        raise OutputError(f"{path} holds the files that are read, and would overwrite them; name another")


def make_folder(path: Path) -> None:
    """Make the folder ``path`` where there is none. OutputError where that fails."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror}; choose another") from error


def free_name(stem: str, suffixes: Sequence[str], taken: set[str], number: int = 2) -> str:
    """``stem`` or, where it is in ``taken`` with one of ``suffixes``, ``stem-number`` and so on; taken from then on."""
    chosen = stem
    while any(chosen + suffix in taken for suffix in suffixes):
        chosen, number = f"{stem}-{number}", number + 1
    taken.update(chosen + suffix for suffix in suffixes)
    return chosen


def check_distinct(paths: Sequence[str]) -> None:
    """OutputError where two outputs would go to one file."""
    files = [os.path.realpath(path) for path in paths]
    for path in files:
        if files.count(path) > 1:
            raise OutputError(f"two outputs would go to {path}; give each a name of its own")


def check_folder(folder: Path) -> None:
    """OutputError where no file can be made in ``folder``."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder; choose another place")
    if not os.path.isdir(folder):
        raise OutputError(f"the folder {folder} does not exist; make it with: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"no permission to write in the folder {folder}; choose another place")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file aside, then move it into place, so that it is whole or not there. OutputError where that fails."""
    try:
        if path.exists() and not path.is_file():  # a device or pipe, which must not be replaced
            path.write_bytes(data)
            return
        with replacing(path) as aside:
            aside.write_bytes(data)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; free space or choose another place") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write, beside ``path`` and with its suffix. It takes the place of ``path`` where the block succeeds,
    and is removed where it fails."""
    path = Path(os.path.realpath(path))
    aside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_all(file: int, data: bytes) -> None:
    """Write all of ``data`` to a descriptor, in one call where the system takes it. OSError where it cannot."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(file, rest) :]
        except BlockingIOError:  # a pipe that another program made non-blocking
            select.select([], [file], [])
