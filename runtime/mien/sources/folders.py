"""The pictures and videos in a folder or glob, and the files that are neither."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.errors import SourceError
from mien.sources.privacy import without_secrets
from mien.sources.stills.heif import INSTALL, has_heif
from mien.sources.stills.kinds import HEIC, READ, SUFFIXES, kind_of_file

VIDEOS = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".ts", ".mts", ".m2ts", ".vob", ".wmv",
    ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".mxf", ".dv", ".y4m", ".h264", ".264", ".hevc", ".h265", ".ivf",
    ".gif", ".mjpeg", ".mjpg",
)  # fmt: skip
"""Suffixes of videos in a folder or glob."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """The content of a folder or glob ``name``, in natural order. ``others`` counts the ignored files by suffix."""

    name: str
    pictures: list[Path]
    videos: list[Path]
    others: Counter[str]

    def left_out(self) -> str:
        """A description of what is ignored; empty if nothing is."""
        kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in self.others.most_common(8))
        more = sum(count for _, count in self.others.most_common()[8:])
        heic = f" (for HEIC: {INSTALL})" if any(suffix in self.others for suffix in HEIC.suffixes) else ""
        return kinds + (f", {more} of other kinds" if more else "") + heic

    def tell(self) -> None:
        """Log one warning about ignored files."""
        if self.others:
            log.warning("left out in %s, because they are not supported: %s", self.name, self.left_out())


def list_folder(folder: Path, *, recursive: bool = False) -> Listing:
    """The content of ``folder``, with ``recursive`` also of its subfolders, without hidden files and folders.

    SourceError if it cannot be read, or holds no pictures and videos.
    """
    try:
        with os.scandir(folder) as items:  # os.walk silently skips folders that it may not read
            empty = next(items, None) is None
        found = list(_walk(folder) if recursive else (item for item in folder.iterdir() if os.path.isfile(item)))
    except OSError as error:
        raise SourceError(f"cannot read folder {folder}: {error.strerror}; check its permissions") from error
    listing = _classified(str(folder), (path for path in found if not path.name.startswith(".")), by_content=False)
    if not listing.pictures and not listing.videos:
        if empty:
            raise SourceError(f"folder {folder} is empty; put pictures into it, or give another one")
        held = f"; it has {listing.left_out()}" if listing.others else ""
        deeper = not recursive and any(os.path.isdir(folder / item) for item in os.listdir(folder))
        pattern = str(folder / "**" / "*")
        remedy = f"read its subfolders too (recursive, or {pattern!r})" if deeper else "give other files by their names"
        raise SourceError(f"folder {folder} holds no pictures ({', '.join(SUFFIXES)}) and no videos{held}; {remedy}")
    return listing


def list_glob(pattern: str) -> Listing:
    """The files that match ``pattern``; ``**`` matches any number of folders. SourceError if there are none."""
    found = [Path(item) for item in glob.glob(os.path.expanduser(pattern), recursive=True) if os.path.isfile(item)]
    if not found:
        raise SourceError(f"no file matches {without_secrets(pattern)}; check the pattern, and quote it in the shell")
    listing = _classified(pattern, found, by_content=True)
    if not listing.pictures and not listing.videos:
        raise SourceError(f"none of the files that match {pattern} is a picture or a video: {listing.left_out()}")
    return listing


def is_picture(path: Path) -> bool:
    """Whether it is a supported picture, by its suffix or, for other suffixes, by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in HEIC.suffixes:
        return has_heif()
    return suffix in SUFFIXES or (suffix not in VIDEOS and kind_of_file(path) in READ)


def natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts frame2 before frame10."""
    parts = re.split(r"([0-9]{1,99})", str(path))
    return [(0, int(part), "") if i % 2 else (1, 0, part) for i, part in enumerate(parts)]


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place) / name for name in names)


def _classified(name: str, paths: Iterable[Path], *, by_content: bool) -> Listing:
    pictures, videos, others = [], [], Counter[str]()
    for path in sorted(paths, key=natural):
        suffix = path.suffix.lower()
        if suffix in VIDEOS:
            videos.append(path)
        elif (by_content or suffix in SUFFIXES) and is_picture(path):
            pictures.append(path)
        else:
            others[suffix] += 1
    return Listing(name, pictures, videos, others)
