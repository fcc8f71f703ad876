"""What a worker gets at once: a video, a segment of one, or a group of pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import NamedTuple

from mien.batch.inputs import Input, short_hash
from mien.batch.rows import Row

PICTURES = 128
"""Pictures whose faces share a file."""
NAME_LENGTH = 60
"""Most characters of an input's name in the name of its file."""


@dataclass(frozen=True)
class Piece:
    """One of the ``count`` pieces of which the file ``part`` is made, and what is to be read for it.

    ``segment``: whether it is a segment of a video; otherwise all of ``inputs`` are read. ``whole``: never cut into
    segments. ``deaths``: how many workers died over it.
    """

    part: str
    inputs: tuple[Input, ...]
    number: int = 0
    count: int = 1
    segment: bool = False
    whole: bool = False
    deaths: int = 0

    @property
    def name(self) -> str:
        """The name of the file in which it waits for the others."""
        return f"{PurePosixPath(self.part).stem}.{self.number}-of-{self.count}.parquet"

    @property
    def weight(self) -> float:
        """How much of the work it is, in bytes."""
        return sum(item.weight for item in self.inputs) / (self.count if self.segment else 1)

    def cut(self, count: int) -> list[Piece]:
        """A video as ``count`` segments."""
        return [replace(self, number=number, count=count, segment=True, deaths=0) for number in range(count)]

    def singly(self) -> list[Piece]:
        """A group as a piece for each of its inputs, after a worker died over it."""
        return [
            replace(self, inputs=(item,), number=number, count=len(self.inputs), deaths=self.deaths)
            for number, item in enumerate(self.inputs)
        ]


class Result(NamedTuple):
    """What a worker returns: a Parquet file and its rows; or ``cut``, the number of segments in which a video should be
    read instead."""

    data: bytes = b""
    rows: Sequence[Row] = ()
    cut: int = 0


def plan(inputs: Iterable[Input]) -> list[Piece]:
    """The pieces of a run: the largest videos first, so that none is left for the end, then pictures in groups.

    The same inputs always give the same pieces, and those that remain after some pieces are done give the others.
    """
    pictures: list[Input] = []
    videos: list[Input] = []
    for item in inputs:
        (pictures if item.picture else videos).append(item)
    videos.sort(key=lambda item: -item.weight)
    return [Piece(_part(item.name), (item,)) for item in videos] + list(_groups(pictures))


def _groups(pictures: Sequence[Input]) -> Iterator[Piece]:
    for start in range(0, len(pictures), PICTURES):
        group = tuple(pictures[start : start + PICTURES])
        names = "\n".join(item.name for item in group)
        yield Piece(f"pictures-{short_hash(names)}.parquet", group)


def _part(name: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", PurePosixPath(name).stem).strip("._") or "video"
    return f"{stem[:NAME_LENGTH]}-{short_hash(name)}.parquet"
