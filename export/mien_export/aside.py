"""A folder is made beside its place, and moved there when it is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.bundle.card import CARD
from mien.errors import MienError, OutputError


@contextmanager
def aside(out: Path, *, replaces_bundle: bool = True) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place if all goes well, and is removed if not.

    ``out`` may exist if it is empty or, with ``replaces_bundle``, holds a bundle. Raises OutputError.
    """
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        if not replaces_bundle:
            raise OutputError(f"{out} exists and is not empty; choose another folder, or remove it")
        if not (out / CARD).is_file():
            raise OutputError(f"{out} exists and is not a bundle; choose another folder, or remove it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise OutputError(f"cannot write in {out.parent}: {error.strerror}; choose another folder") from error
    try:
        yield beside
        os.chmod(beside, 0o755)
        if out.exists():
            shutil.rmtree(out)
        beside.replace(out)
    except MienError:  # some of these are OSErrors too
        raise
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another folder") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
