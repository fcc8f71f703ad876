"""A folder or glob -> the pictures and videos that it holds, and what is neither."""

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
"""What counts as a video in a folder or glob."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """What ``name``, a folder or glob, holds, in natural order. ``others`` counts what is left out, by suffix."""

    name: str
    pictures: list[Path]
    videos: list[Path]
    others: Counter[str]

    def left_out(self) -> str:
        """In words, empty where nothing is."""
        kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in self.others.most_common(8))
        more = sum(count for _, count in self.others.most_common()[8:])
        heic = f" (for HEIC: {INSTALL})" if any(suffix in self.others for suffix in HEIC.suffixes) else ""
        return kinds + (f", {more} of other kinds" if more else "") + heic

    def tell(self) -> None:
        """Warn of what is left out, in one line."""
        if self.others:
            log.warning("left out in %s, as no picture or video that is read here: %s", self.name, self.left_out())


def list_folder(folder: Path, *, recursive: bool = False) -> Listing:
    """What stands in ``folder``, hidden files left out; with ``recursive`` also in its folders, hidden ones left out.

    SourceError where it cannot be read, or holds nothing that is known.
    """
    try:
        with os.scandir(folder):  # os.walk passes over what it may not read
            pass
        found = list(_walk(folder) if recursive else (item for item in folder.iterdir() if os.path.isfile(item)))
    except OSError as error:
        raise SourceError(f"cannot read folder {folder}: {error.strerror}; check its permissions") from error
    made = _sorted_out(str(folder), (path for path in found if not path.name.startswith(".")), by_content=False)
    if not made.pictures and not made.videos:
        held = f"; it has {made.left_out()}" if made.others else ""
        deeper = not recursive and any(os.path.isdir(folder / item) for item in os.listdir(folder))
        remedy = "read its folders too (--recursive)" if deeper else "give other files by their names"
        raise SourceError(f"folder {folder} holds no pictures ({', '.join(SUFFIXES)}) and no videos{held}; {remedy}")
    return made


def list_glob(pattern: str) -> Listing:
    """The files that ``pattern`` names; ``**`` stands for folders in folders. SourceError where there are none."""
    found = [Path(item) for item in glob.glob(os.path.expanduser(pattern), recursive=True) if os.path.isfile(item)]
    if not found:
        raise SourceError(f"no file matches {without_secrets(pattern)}; check the pattern, and quote it in the shell")
    made = _sorted_out(pattern, found, by_content=True)
    if not made.pictures and not made.videos:
        raise SourceError(f"none of the files that match {pattern} is a picture or a video: {made.left_out()}")
    return made


def is_picture(path: Path) -> bool:
    """Whether it is one that can be read here: by its name or, for other names, by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in HEIC.suffixes:
        return has_heif()
    return suffix in SUFFIXES or (suffix not in VIDEOS and kind_of_file(path) in READ)


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Sorts frame2 before frame10."""
    parts = re.split(r"([0-9]{1,99})", str(path))
    return [(0, int(part), "") if i % 2 else (1, 0, part) for i, part in enumerate(parts)]  # isdigit is true of ², too


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place) / name for name in names)


def _sorted_out(name: str, paths: Iterable[Path], *, by_content: bool) -> Listing:
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
