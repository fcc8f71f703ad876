"""The sources of a run of fer-run, each of which is opened when its turn comes."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISFIFO

from mien.errors import InputError, SourceError
from mien.sources.addresses import is_address, local
from mien.sources.base import Source
from mien.sources.factory import is_camera
from mien.sources.folders import Listing, list_folder, list_glob
from mien.sources.pipelines import is_pipeline
from mien.sources.privacy import without_secrets

STDIN = ("-", "/dev/stdin")

Opener = Callable[[str | int | Path | Listing], Source]
"""``open_source`` with its options."""


@dataclass(frozen=True)
class Wanted:
    """A source that is not open yet. ``paths``: the files that it reads, as far as they are known."""

    name: str
    open: Callable[[], Source]
    paths: Sequence[Path] = ()


def wanted(
    named: Sequence[str | int | Path], open_one: Opener, stack: ExitStack, *, recursive: bool = False
) -> list[Wanted]:
    """All sources that ``named`` stands for, in order. A folder or glob becomes one source for its pictures and one for
    each video.

    ``-`` is standard input, which like pipes is read completely into a file that ``stack`` removes. A missing source
    raises only when it is opened. Raises InputError for a camera or stream among several sources, because it would
    never let the next one start.
    """
    if len(named) > 1:
        for spec in named:
            text = str(spec).strip()
            if text in STDIN or _is_pipe(Path(text)):
                continue
            if is_camera(text) or is_pipeline(text) or text.lower().startswith("rtsp"):
                raise InputError(
                    f"{without_secrets(text)} has no end, so the sources after it would wait forever; to read several "
                    "at once, name each with --source"
                )
        if sum(str(spec) in STDIN for spec in named) > 1:
            raise InputError("standard input (-) can be read only once; name it once")
    return [item for spec in named for item in _expand(spec, open_one, stack, recursive)]


def _expand(spec: str | int | Path, open_one: Opener, stack: ExitStack, recursive: bool) -> list[Wanted]:
    text = local(spec)
    path = Path(os.path.expanduser(text))
    if text in STDIN or _is_pipe(path):
        piped = spool(stack, None if text in STDIN else path)
        name = "stdin" if text in STDIN else text
        return [Wanted(name, partial(_named, name, open_one, piped), [piped])]
    if not text or is_camera(text) or is_pipeline(text) or is_address(text):
        return [Wanted(without_secrets(text), partial(open_one, spec))]
    try:
        if os.path.isdir(path):
            return _of(list_folder(path, recursive=recursive), open_one)
        if not os.path.exists(path) and glob.has_magic(text):
            return _of(list_glob(text), open_one)
    except SourceError as error:
        return [Wanted(without_secrets(text), partial(_fail, error))]
    return [Wanted(text, partial(open_one, spec), [path])]


def _of(listing: Listing, open_one: Opener) -> list[Wanted]:
    listing.tell()
    stills = Listing(listing.name, listing.pictures, [], listing.others)
    pictures = [Wanted(listing.name, partial(open_one, stills), listing.pictures)] if listing.pictures else []
    return pictures + [Wanted(str(path), partial(open_one, path), [path]) for path in listing.videos]


def _named(name: str, open_one: Opener, path: Path) -> Source:
    try:
        source = open_one(path)
    except SourceError as error:
        raise SourceError(str(error).replace(str(path), "standard input" if name == "stdin" else name)) from error
    source.name = name
    return source


def _fail(error: SourceError) -> Source:
    raise error


def spool(stack: ExitStack, pipe: Path | None = None) -> Path:
    """Copy a pipe (by default standard input) to a file, because the index of a video may be at either end. SourceError
    if nothing is piped in, or if it does not fit on the disk."""
    shown = str(pipe) if pipe else "standard input"
    if pipe is None and (sys.stdin is None or sys.stdin.isatty()):
        raise SourceError("nothing is piped into standard input; use it as in: fer-run - < talk.mp4")
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mien-"))
    path = Path(folder) / "piped"
    try:
        data = stack.enter_context(pipe.open("rb") if pipe else nullcontext(sys.stdin.buffer))
        first = data.read(2**16)
    except OSError as error:
        raise SourceError(
            f"cannot read {shown}: {error.strerror or error}; pipe a picture or a video into it"
        ) from error
    try:
        with path.open("wb") as file:
            file.write(first)
            shutil.copyfileobj(data, file)
    except OSError as error:
        raise SourceError(
            f"cannot store {shown} in {folder}: {error.strerror}; set TMPDIR to a folder with more space"
        ) from error
    if not path.stat().st_size:
        raise SourceError(f"{shown} is empty; pipe a picture or a video into it")
    return path


def _is_pipe(path: Path) -> bool:
    """Whether it is a pipe, such as a shell's ``<(...)``."""
    try:
        return S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False
