"""Files that are either complete or not there, the cache folder, and checksums."""

from __future__ import annotations

import hashlib
import os
import select
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to, with the same suffix.

    At the end of the block the file that was written there replaces ``path``. If the block raises, it is removed and
    ``path`` stays as it was. OSErrors come out as they are.
    """
    path = Path(os.path.realpath(path))
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(
    path: Path, data: bytes, *, durable: bool = False, remedy: str = "free space or choose another place"
) -> None:
    """Replace ``path`` by a file with ``data``, which is either complete or not there. OutputError if that fails.

    ``durable``: wait until the data is on the disk, so that it survives a power failure too. ``remedy``: what the error
    says to do.
    """
    try:
        if path.exists() and not path.is_file():  # a device or pipe, which must not be replaced
            path.write_bytes(data)
            return
        with replacing(path) as partial, partial.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; {remedy}") from error


def write_all(file: int, data: bytes) -> None:
    """Write all of ``data`` to a file descriptor, in one call if the system takes it. OSError if it cannot."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(file, rest) :]
        except BlockingIOError:  # a pipe that another program made non-blocking
            select.select([], [file], [])


def cache_folder() -> Path:
    """Where measurements and built plans of this machine are stored: ``$MIEN_CACHE``, or ``~/.cache/mien``; a temporary
    folder for users without a home, as in some containers."""
    try:
        return Path(os.environ.get("MIEN_CACHE") or Path.home() / ".cache" / "mien")
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "mien"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
