"""Names of files: as people can read them, and as OpenCV and ONNX Runtime can open them."""

from __future__ import annotations

import codecs
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mien.errors import InputError, OutputError

READABLE = "mien.readable"
"""How ``str.encode`` and streams are to treat what an encoding lacks: it is written as an escape, ``\\xe9``."""


def readable(name: str | Path) -> str:
    """A name as any program takes it: its bytes that are no UTF-8 become escapes."""
    text = str(name)
    with suppress(UnicodeError):
        text.encode("utf-8")
        return text
    with suppress(UnicodeError):
        return os.fsencode(text).decode("utf-8")  # in a locale that knows less than the name holds
    return text.encode("utf-8", READABLE).decode("utf-8")


def for_system(name: str) -> str:
    """A readable name as a file can have it: in UTF-8 where the locale knows less."""
    try:
        os.fsencode(name)
    except UnicodeError:
        return os.fsdecode(name.encode("utf-8", READABLE))
    return name


def is_plain(text: str) -> bool:
    """Whether OpenCV gets ``text`` as the system means it. It takes names as UTF-8: those in another encoding name
    another file, and a name with bytes that are no UTF-8 ends the whole process."""
    try:
        return os.fsencode(text) == text.encode("utf-8")
    except UnicodeError:
        return False


def check_plain(text: str, what: str) -> str:
    """``text``, for a call of OpenCV that opens no file; InputError where it cannot be given to it."""
    try:
        text.encode("utf-8")
    except UnicodeError as error:
        raise InputError(f"{what} holds bytes that are no UTF-8; write it in UTF-8 (set PYTHONUTF8=1)") from error
    return text


@contextmanager
def for_native(path: Path) -> Iterator[str]:
    """An absolute name by which OpenCV or ONNX Runtime can open ``path``, to read or to write, within the context.

    It is the path itself or, where they would not understand that, a link of a plain name in a temporary folder,
    which keeps a plain suffix. OutputError where no link can be made.
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
                raise OSError(0, f"{tempfile.gettempdir()} has such a name too")
            os.symlink(name, link)
        except OSError as error:
            raise OutputError(
                f"cannot open {path}, whose name is not UTF-8, since no link to it can be made "
                f"({error.strerror}); rename it, or set TMPDIR to a folder with a plain name"
            ) from error
        yield link


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    return "".join(map(_escaped, part)), error.end


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte that it cannot decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(READABLE, _escape)
