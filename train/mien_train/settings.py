"""TOML files as frozen dataclasses: reading them, changing single keys, and writing them back as plain values."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from mien import schema
from mien.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


def read_toml(path: Path, what: str, packaged: Sequence[str] = ()) -> dict[str, Any]:
    """The tables of a TOML file. Raises InputError, which says ``what`` it should be and which ones are ``packaged``,
    where the file is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = f"; the packaged ones are {', '.join(packaged)}" if packaged else ""
        raise InputError(f"no {what} at {path}{hint}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {what} {path}: {error}") from error


def build(kind: type[T], values: Any) -> T:
    """A frozen dataclass from nested tables. Raises InputError, which names the key, for unknown and missing keys and
    for wrong types."""
    return schema.build(kind, values, _Complaints())


class _Complaints:
    """What ``schema.build`` raises for a recipe."""

    def no_table(self, where: str) -> InputError:
        return InputError(f"recipe: {where or 'the whole file'} must be a table")

    def unknown(self, key: str, known: list[str]) -> InputError:
        return InputError(f"recipe: unknown key {key}; known here: {', '.join(known)}")

    def missing(self, where: str, name: str) -> InputError:
        return InputError(f"recipe: {where or 'the file'} is incomplete: {name} is missing")

    def wrong_type(self, key: str, hint: Any, value: object) -> InputError:
        if get_origin(hint) is tuple:
            wanted = "a list of strings" if get_args(hint)[0] is str else "a list of numbers"
        else:
            wanted = getattr(hint, "__name__", str(hint))
        return InputError(f"recipe: {key} must be {wanted}, not {value!r}")


def check_ranges(table: str, values: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raises InputError, which names the key, unless the numbers of a dataclass are finite and from the first to the
    second of their range. ``table``: its place in the recipe, with a dot at its end."""
    for name, (least, most) in ranges.items():
        value = getattr(values, name)
        if not (math.isfinite(value) and least <= value <= most):
            wanted = f"{least:g} or more" if most == math.inf else f"from {least:g} to {most:g}"
            raise InputError(f"recipe: {table}{name} is {value}; it must be {wanted}")


def plain(value: Any) -> Any:
    """The same with tuples as lists, as TOML and JSON have them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def apply_changes(values: dict[str, Any], changes: tuple[str, ...]) -> None:
    """Set ``key.sub=value`` pairs in nested tables. Raises InputError for what is not such a pair."""
    for change in changes:
        _apply(values, change)


def _apply(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals:
        raise InputError(f"--set {change}: write key=value, for example optim.epochs=2")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text
    *tables, last = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise InputError(f"--set {change}: {table} is a value, not a table")
    values[last] = value
