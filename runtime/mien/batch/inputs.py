"""The files of a run, from whatever names them: files, folders, globs, lists of paths and addresses of stores."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mien.paths import readable
from mien.sources.folders import VIDEOS, natural
from mien.sources.privacy import without_secrets
from mien.sources.stills.heif import has_heif
from mien.sources.stills.kinds import HEIC, SUFFIXES

WEB = re.compile(r"(?:^|::)(?:https?|s?ftp|ssh|smb|webdavs?|webhdfs)://", re.IGNORECASE)
"""Schemes whose addresses may hold a password or token. Those of object stores never do, and ``key=value`` in them is
the name of a folder."""


@dataclass(frozen=True)
class Input:
    """A file to read.

    Attributes:
        name: As in the results: the absolute path with escapes for bytes that are not UTF-8, or the address without
            secrets.
        place: The path or address by which it is opened.
        size: In bytes, or None if unknown.
        version: What changes with the file: the time of its last change in ns, or what its store gives instead; empty
            if unknown.
    """

    name: str
    place: str
    size: int | None
    version: str

    @property
    def picture(self) -> bool:
        """Whether it is a picture according to its name, or has no suffix that says otherwise, as photos do that lost
        theirs. What is neither is opened by its content."""
        return PurePosixPath(self.name).suffix.lower() in SUFFIXES

    @property
    def weight(self) -> int:
        """How much of the work it is, in bytes."""
        return self.size or 1


def local_input(path: Path) -> Input:
    """A file of this machine, which may be missing: that is an error of the one that reads it."""
    place = os.path.abspath(path)
    try:
        about = os.stat(place)
    except (OSError, ValueError):
        return Input(readable(place), place, None, "")
    return Input(readable(place), place, about.st_size, str(about.st_mtime_ns))


def stored_input(place: str, size: int | None = None, version: str = "") -> Input:
    """A file at an address."""
    name = shown(place)
    # Two addresses that differ in what is hidden must not share a name.
    return Input(name if name == place else f"{name}#{short_hash(place)}", place, size, version)


def shown(address: str) -> str:
    """An address without secrets."""
    return without_secrets(address) if WEB.search(address) or "@" in address.partition("/")[0] else address


def short_hash(text: str) -> str:
    """Ten hexadecimal digits for any text, for names of files."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def is_wanted(name: str) -> bool:
    """Whether the name of a file is that of a picture or video."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in VIDEOS or (has_heif() if suffix in HEIC.suffixes else suffix in SUFFIXES)


def by_name(item: Input) -> list[tuple[int, int, str]]:
    """A key for sorting: frame2 comes before frame10."""
    return natural(Path(item.name))
