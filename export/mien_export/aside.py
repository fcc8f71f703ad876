"""A folder is made beside its place, and moved there when it is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.bundle.card import CARD, read_card
from mien.errors import MienError, ModelInvalid, OutputError
from mien_export.model_card import FILE


@contextmanager
def aside(out: Path, *, replaces_bundle: bool = True) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place if all goes well, and is removed if not.

    ``out`` may exist if it is empty or, with ``replaces_bundle``, holds a bundle and nothing else. Raises OutputError.
    """
    _check(out, replaces_bundle)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise OutputError(f"cannot write in {out.parent}: {error.strerror}; choose another folder") from error
    try:
        yield beside
        os.chmod(beside, 0o755)
        _check(out, replaces_bundle)  # an export takes minutes, in which somebody may have put something there
        if out.exists():
            shutil.rmtree(out)
        beside.replace(out)
    except MienError:  # some of these are OSErrors too
        raise
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another folder") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check(out: Path, replaces_bundle: bool) -> None:
    """Raise OutputError where replacing ``out`` would lose what is not a bundle's."""
    if not out.exists():
        return
    if out.resolve() == Path.cwd():
        raise OutputError(f"{out} is the current folder, which cannot be replaced; choose another folder")
    if not any(out.iterdir() if out.is_dir() else [out]):
        return
    if not replaces_bundle:
        raise OutputError(f"{out} exists and is not empty; choose another folder, or remove it")
    if not (out / CARD).is_file():
        raise OutputError(f"{out} exists and is not a bundle; choose another folder, or remove it")
    try:
        own = {CARD, FILE, *read_card(out).files}
    except ModelInvalid as error:
        raise OutputError(f"{out} cannot be replaced: {error}; choose another folder, or remove it") from error
    others = sorted(path.name for path in out.iterdir() if path.name not in own or not path.is_file())
    if others:
        named = ", ".join(others)
        raise OutputError(f"{out} holds more than a bundle: {named}; choose another folder, or move them elsewhere")
