"""What a stream said of a frame, in a form that can be compared."""

from __future__ import annotations

from collections.abc import Sequence

from mien.sinks.records import record
from mien.types import Face, Frame


def row(frame: Frame, faces: Sequence[Face]) -> tuple[int, float, list[object]]:
    """Index, time and records of a frame, without the name of its source."""
    return frame.index, frame.time, [record(frame, i, face) | {"source": ""} for i, face in enumerate(faces)]
