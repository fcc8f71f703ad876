"""Files at addresses that fsspec opens, such as s3:// and gs://: listed, and fetched by those who read them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from mien.batch.inputs import Input, by_name, is_wanted, shown, stored_input
from mien.errors import LibraryBroken, MienError, SourceError
from mien.sources.privacy import Secrets

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""What fsspec wants for a scheme, beside those that its own message names."""
LOGIN = ("credential", "unauthorized", "forbidden", "accessdenied", "invalidaccesskey", "signature", "permission")
"""Words in the names and texts of errors about a login; the libraries' errors have no common class."""
MAGIC = ("*", "?", "[")


def is_store(text: str) -> bool:
    """Whether it is an address for fsspec."""
    return "://" in text


def list_store(address: str) -> tuple[list[Input], dict[str, int]]:
    """The pictures and videos at an address, which may be a file, a folder (with all that is in it) or a glob; and the
    number of other files by suffix.

    Raises:
        SourceError: There is nothing, the login is missing or wrong, or the store cannot be reached.
        LibraryBroken: The package for its scheme is missing.
    """
    with told(address):
        filesystem, path = opened(address)
        found: dict[str, dict[str, Any]]
        if any(mark in path for mark in MAGIC):
            found = filesystem.glob(path, detail=True)
        else:
            about = filesystem.info(path)
            found = {path: about} if about["type"] == "file" else filesystem.find(path, detail=True)
            if about["type"] == "file":
                return [_input(filesystem, address, path, about, named=True)], {}
    files = [(path, about) for path, about in found.items() if about.get("type") == "file"]
    inputs = [_input(filesystem, address, path, about) for path, about in files if is_wanted(path)]
    others: dict[str, int] = {}
    for path, _ in files:
        if not is_wanted(path):
            suffix = PurePosixPath(path).suffix.lower()
            others[suffix] = others.get(suffix, 0) + 1
    if not inputs:
        held = f" (it has {len(files)} other files)" if files else ""
        raise SourceError(f"{shown(address)} holds no pictures and no videos{held}; check the address")
    return sorted(inputs, key=by_name), others


def check_store(address: str) -> None:
    """Raise what is wrong with the store of an address, such as a missing login. That the file itself is missing, does
    not count."""
    with suppress(FileNotFoundError), told(address, missing=False):
        filesystem, path = opened(address)
        filesystem.info(path)


@contextmanager
def fetched(item: Input) -> Iterator[Path]:
    """The file of an input: its own or, where it is in a store, a copy that is removed after the context. SourceError
    if that fails."""
    if not is_store(item.place):
        yield Path(item.place)
        return
    with tempfile.TemporaryDirectory(prefix="mien-fetched-") as folder:
        path = Path(folder) / (PurePosixPath(item.name.split("::")[0]).name or "file")
        with told(item.place):
            filesystem, place = opened(item.place)
            filesystem.get_file(place, str(path))
        yield path


def opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path there. Errors are those of fsspec; see ``told``."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise LibraryBroken(f'addresses need fsspec ({error}); run: pip install "mien[batch]"') from error
    filesystem, path = url_to_fs(address)
    return filesystem, path


@contextmanager
def told(address: str, *, missing: bool = True) -> Iterator[None]:
    """Within the context, errors of stores become a SourceError that says what to do; ``missing`` ones too."""
    name, scheme = shown(address), address.partition("://")[0].rpartition("::")[2].lower()
    try:
        yield
    except MienError:
        raise
    except ImportError as error:
        package = PACKAGES.get(scheme)
        remedy = f"run: pip install {package}" if package else f"{error}"
        raise LibraryBroken(f"{name} needs another package; {remedy}") from error
    except FileNotFoundError:
        if not missing:
            raise
        raise SourceError(f"there is nothing at {name}; check the address, and that the login may see it") from None
    except Exception as error:  # each store has its own classes
        text = Secrets(address).clean(str(error) or type(error).__name__)
        if isinstance(error, ValueError) and "rotocol not known" in text:
            remedy = f"the scheme {scheme}:// is not known to fsspec; use s3://, gs://, or another that it lists"
            raise SourceError(f"cannot open {name}: {remedy}") from None
        words = f"{type(error).__name__} {text}".lower().replace(" ", "")
        if isinstance(error, PermissionError) or any(word in words for word in LOGIN):
            remedy = (
                f"the login is missing, wrong, or may not read it ({text}); set it up as the store's own tools want it "
                "(AWS_ACCESS_KEY_ID and so on, aws configure, gcloud auth application-default login)"
            )
            raise SourceError(f"cannot open {name}: {remedy}") from None
        raise SourceError(
            f"cannot open {name}: the store cannot be reached, or fails ({text}); check the address and the network"
        ) from None


def _input(filesystem: Any, address: str, path: str, about: dict[str, Any], *, named: bool = False) -> Input:
    rest = "".join(f"::{part}" for part in address.split("::")[1:])
    place = address if named else f"{filesystem.unstrip_protocol(path)}{rest}"
    version = about.get("ETag") or about.get("etag") or about.get("LastModified") or about.get("mtime") or ""
    size = about.get("size")
    return stored_input(place, None if size is None else int(size), str(version).strip('"'))
