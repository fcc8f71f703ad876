"""Frozen dataclasses from JSON and TOML. Unknown, missing and ill-typed keys are errors, not guesses."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
Hint = Any
"""A type as ``get_type_hints`` gives it."""


class Complaints(Protocol):
    """The errors of one kind of file, in its own words. ``where``: the path of a table with a dot at its end, such as
    ``crop.``, or empty for the whole file. ``key``: the path of a value, such as ``crop.size``."""

    def no_table(self, where: str) -> Exception: ...

    def unknown(self, key: str, known: list[str]) -> Exception: ...

    def missing(self, where: str, name: str) -> Exception: ...

    def wrong_type(self, key: str, hint: Hint, value: object) -> Exception: ...


def build(kind: type[T], values: Any, complaints: Complaints, where: str = "") -> T:
    """An instance of the dataclass ``kind`` from nested mappings, lists and plain values.

    Fields may be other dataclasses, tuples of dataclasses, of strings or of numbers, dictionaries, literals (which the
    dataclass itself checks) and plain types. Raises what ``complaints`` makes of the first mistake.
    """
    if not isinstance(values, dict):
        raise complaints.no_table(where)
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(fields)):
        raise complaints.unknown(f"{where}{unknown[0]}", list(fields))
    required = [
        name
        for name, item in fields.items()
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]
    if missing := sorted(set(required) - set(values)):
        raise complaints.missing(where, missing[0])
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], value, complaints, f"{where}{name}") for name, value in values.items()})


def _value(hint: Hint, value: Any, complaints: Complaints, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, complaints, f"{key}.")  # type: ignore[arg-type]
    plain: Any = get_origin(hint) or hint
    if plain is tuple and isinstance(value, list):
        item_hint = get_args(hint)[0]
        if dataclasses.is_dataclass(item_hint):
            return tuple(_value(item_hint, item, complaints, f"{key}[{i}]") for i, item in enumerate(value))
        if all(_fits(item_hint, item) for item in value):
            return tuple(map(item_hint, value))
    elif not isinstance(plain, type):  # a Literal, which the dataclass checks
        if isinstance(value, str):
            return value
    elif _fits(plain, value):
        return float(value) if plain is float else value
    raise complaints.wrong_type(key, hint, value)


def _fits(kind: type, value: object) -> bool:
    """Whether ``value`` is of ``kind``. A whole number is a float too; a bool is neither number nor anything else."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
