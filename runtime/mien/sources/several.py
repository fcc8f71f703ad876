"""Several sources that are read at the same time: their names, which files and addresses can hold, and opening them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mien.errors import InputError
from mien.sources.addresses import is_address, local
from mien.sources.base import Source
from mien.sources.factory import is_camera
from mien.sources.pipelines import is_pipeline
from mien.sources.privacy import SCHEME, without_secrets

NAME = re.compile(r"\w[\w.-]{0,63}")
"""What a file, an address and a label can hold on every system."""

T = TypeVar("T")


def split_name(text: str) -> tuple[str | None, str]:
    """``front=rtsp://10.0.0.5/stream`` -> the name and the source; the name is None where there is none.

    A file or address that contains ``=`` itself is no name: only what stands before the first ``=``, is not the start
    of a path, and holds neither ``:`` nor a space can be one. InputError for one that cannot be used.
    """
    name, equals, source = text.partition("=")
    if not equals or re.search(r"[:\s]", name) or name.startswith(("/", ".", "~")) or os.path.exists(local(text)):
        return None, text
    if not source:
        raise InputError(f"the source {name!r} is empty; write it as NAME=SOURCE, such as front=0")
    return check_name(name), source


def check_name(name: str) -> str:
    """``name``, or InputError if it cannot be the name of a file."""
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} cannot be the name of a source; use letters, digits, . _ and - (no slash), at most 64"
        )
    return name


def default_name(source: str | int | Path) -> str:
    """A name for a source that has none: camera-0, the file without folder and suffix, or host and path."""
    text = local(source)
    if is_pipeline(text):
        return "pipeline"
    if is_camera(text):
        text = f"camera-{text}" if text.isdigit() else Path(text).name
    elif is_address(text):
        text = re.split(r"[?#]", SCHEME.sub("", without_secrets(text), count=1))[0]
    else:
        text = Path(text).stem
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[:64] or "source"


def by_name(named: Iterable[tuple[str, T]]) -> dict[str, T]:
    """The sources by their names, in order. InputError if two have the same name, in upper or lower case: their files
    would be the same on some systems."""
    found: dict[str, T] = {}
    known: set[str] = set()
    for name, source in named:
        if name.casefold() in known:
            raise InputError(f"two sources have the name {name!r}; give each a name of its own")
        known.add(name.casefold())
        found[name] = source
    return found


def open_all(openers: Mapping[str, Callable[[], Source]]) -> dict[str, Source]:
    """Open several sources at the same time, as a camera may take seconds. If some cannot be opened, the first error is
    raised, and the others are closed again."""
    with ThreadPoolExecutor(len(openers), "mien opening") as pool:
        opening = {name: pool.submit(opener) for name, opener in openers.items()}
    errors = [error for future in opening.values() if (error := future.exception())]
    opened = {name: future.result() for name, future in opening.items() if not future.exception()}
    if errors:
        close_all(opened)
        raise errors[0]
    return opened


def close_all(sources: Mapping[str, Source]) -> None:
    """Close several sources at the same time, as a driver that hangs is waited for."""
    with ThreadPoolExecutor(max(1, len(sources)), "mien closing") as pool:
        list(pool.map(lambda source: source.close(), sources.values()))
