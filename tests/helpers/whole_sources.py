"""A source that is read to its end."""

from __future__ import annotations

from pathlib import Path

from mien.sources.base import Source
from mien.sources.factory import open_source
from mien.types import Frame


def read(spec: str | int | Path) -> tuple[Source, list[Frame]]:
    with open_source(spec) as source:
        return source, list(source)
