"""What the sources of a run stand for: each file once, in order."""

from __future__ import annotations

import glob
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mien.batch.inputs import Input, is_wanted, local_input, shown, stored_input
from mien.batch.stores import check_store, is_store, list_store
from mien.errors import InputError, SourceError
from mien.sources.addresses import local
from mien.sources.factory import is_camera
from mien.sources.folders import Listing, list_folder, list_glob
from mien.sources.pipelines import is_pipeline
from mien.sources.privacy import without_secrets

LISTS = (".txt", ".lst", ".list")
"""Suffixes of files that hold a path, folder, glob or address a line."""
LIVE = ("rtsp", "rtmp", "rtp:", "udp:", "mms", "srt:")

log = logging.getLogger(__name__)


def find_inputs(sources: Sequence[str], without: Path) -> list[Input]:
    """All files that the sources stand for.

    Args:
        sources: Files, folders (with their subfolders), globs, addresses for fsspec, files with a source a line
            (``.txt``, ``.lst``, ``.list``), or ``-`` for such lines on standard input.
        without: The folder of the results, which are not read even if they lie in one of the sources.

    Returns:
        Each file once, in the order of the sources and in natural order within each.

    Raises:
        SourceError: A source is missing, empty or cannot be listed. But a file that a list names may be missing: that
            is found when it is to be read.
        InputError: A source has no end.
        LibraryBroken: A package for a store is missing.
    """
    here = os.path.abspath(without) + os.sep
    found: dict[str, Input] = {}
    for source in sources:
        for item in _expand(source):
            if not item.place.startswith(here):
                found.setdefault(item.name, item)
    if not found:
        raise SourceError("there is nothing to read: the sources hold only results of this folder, or empty lists")
    return list(found.values())


def _expand(source: str) -> Iterator[Input]:
    text = local(source)
    if text == "-":
        yield from _listed(sys.stdin, "standard input")
    elif os.path.isfile(text) and Path(text).suffix.lower() in LISTS:
        try:
            lines = Path(text).read_text(encoding="utf-8", errors="surrogateescape").split("\n")
        except OSError as error:
            raise SourceError(f"cannot read {text}: {error.strerror}; check its permissions") from error
        yield from _listed(lines, text)
    else:
        yield from _named(text, listed=False)


def _listed(lines: Iterable[str], name: str) -> Iterator[Input]:
    """The sources of a list. Blank lines and those that begin with # are left out."""
    count, checked = 0, set[str]()
    for line in lines:
        text = line.rstrip("\r\n")
        if text.strip() and not text.lstrip().startswith("#"):
            count += 1
            if is_store(text) and is_wanted(text) and not any(mark in text for mark in "*?["):
                text = text.strip()
                store = "/".join(text.split("/")[:3])
                if store not in checked:
                    check_store(text)
                    checked.add(store)
                yield stored_input(text)
            else:
                yield from _named(local(text), listed=True)
    if not count:
        raise SourceError(f"{name} holds no paths; write one a line")


def _named(text: str, *, listed: bool) -> Iterator[Input]:
    path = Path(os.path.expanduser(text))
    if not text:
        raise InputError("a source is empty; give a file, folder, glob or address")
    if os.path.isdir(path):
        yield from _of(list_folder(path, recursive=True))
    elif os.path.exists(path) and not is_camera(text):
        yield local_input(path)
    elif is_camera(text) or is_pipeline(text) or text.lower().startswith(LIVE):
        raise InputError(f"{without_secrets(text)} has no end, so it is no part of an archive; read it with fer-run")
    elif is_store(text):
        inputs, others = list_store(text)
        if others:
            kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in sorted(others.items()))
            log.warning("left out in %s, because they are not supported: %s", shown(text), kinds)
        yield from inputs
    elif glob.has_magic(text):
        yield from _of(list_glob(text))
    elif listed:
        yield local_input(path)
    else:
        raise SourceError(
            f"there is no file or folder {without_secrets(text)} (looked in {Path.cwd()}); check the path"
        )


def _of(listing: Listing) -> Iterator[Input]:
    listing.tell()
    for path in (*listing.pictures, *listing.videos):
        yield local_input(path)
