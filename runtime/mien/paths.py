"""File names: in a form that people can read, and in a form that OpenCV and ONNX Runtime can open."""

from __future__ import annotations

import codecs
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mien.errors import InputError, OutputError

READABLE = "mien.readable"
"""Error handler for ``str.encode`` and streams: characters that an encoding lacks become escapes such as ``\\xe9``."""


def readable(name: str | Path) -> str:
    """A name that any program can handle: bytes that are not UTF-8 become escapes."""
    text = str(name)
    with suppress(UnicodeError):
        text.encode("utf-8")
        return text
    with suppress(UnicodeError):
        return os.fsencode(text).decode("utf-8")  # in a locale that cannot represent the name
    return text.encode("utf-8", READABLE).decode("utf-8")


def for_system(name: str) -> str:
    """A readable name in a form that a file can have: in UTF-8 if the locale cannot represent it."""
    try:
        os.fsencode(name)
    except UnicodeError:
        return os.fsdecode(name.encode("utf-8", READABLE))
    return name


def is_plain(text: str) -> bool:
    """Whether OpenCV understands ``text`` as the system does. OpenCV reads names as UTF-8: in another encoding they
    would name another file, and bytes that are not UTF-8 end the whole process."""
    try:
        return os.fsencode(text) == text.encode("utf-8")
    except UnicodeError:
        return False


def check_plain(text: str, what: str) -> str:
    """``text``, for a call of OpenCV that opens no file. InputError if it is not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeError as error:
        raise InputError(f"{what} holds bytes that are not UTF-8; write it in UTF-8 (set PYTHONUTF8=1)") from error
    return text


@contextmanager
def for_native(path: Path) -> Iterator[str]:
    """An absolute name by which OpenCV or ONNX Runtime can open ``path`` for reading or writing, within the context.

    It is the path itself or, if they would misread it, a link in a temporary folder with an ASCII name and suffix.
    OutputError if no link can be created.
    """
    name = os.path.abspath(path)
    if is_plain(name):
        yield name
        return
    suffix = path.suffix if path.suffix.isascii() else ""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mien-"))
            link = os.path.join(folder, f"file{suffix}")
            if not is_plain(link):
                raise OSError(0, f"the name of {tempfile.gettempdir()} is not UTF-8 either")
            os.symlink(name, link)
        except OSError as error:
            raise OutputError(
                f"cannot open {path}, whose name is not UTF-8, because no link to it can be created "
                f"({error.strerror}); rename it, or set TMPDIR to a folder with a plain name"
            ) from error
        yield link


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    return "".join(map(_escaped, part)), error.end


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python represents a byte that it cannot decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(READABLE, _escape)
