"""Long videos in segments that overlap: which frames belong to each, and how their tables are joined.

A segment begins some seconds before its first frame, so that the stream has found the faces and settled on them by
then. The frames that two segments share must be the same pictures at the same times; the faces that they share tell
which ids are the same.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mien.batch.rows import FAILED, arrow, failed_row, with_faces
from mien.batch.tables import Table, joined
from mien.sources.base import Source
from mien.sources.video import Video
from mien.types import Frame

if TYPE_CHECKING:
    import pyarrow as pa

OVERLAP_S = 5.0
"""Twice what the temporal encoder sees, and five times what a face may be out of sight."""
RUN_UP_S = 2.0
"""Decoded before that and left out: after a seek, the first frames of some videos lack what they refer to."""
SAME_FACE = 0.5
"""Least overlap of two boxes, as intersection over union, that are one face in the same frame."""


class Span(NamedTuple):
    """The frames from ``start`` to before ``stop``, in s; the last segment has no end."""

    start: float
    stop: float


@dataclass
class Seen:
    """What a segment tells its neighbors: time and checksum of the frames before its start and of those before its
    stop, and the number of frames in between."""

    head: list[tuple[float, int]] = field(default_factory=list)
    tail: list[tuple[float, int]] = field(default_factory=list)
    frames: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {"head": self.head, "tail": self.tail, "frames": self.frames}


def count_segments(source: Source, segment_s: float) -> int:
    """In how many segments an open source should be read: 1 for one that is not longer than ``segment_s``, or in which
    no frame can be found by its time."""
    if segment_s <= 0 or not isinstance(source, Video) or not source.count or not source.fps:
        return 1
    count = max(1, math.ceil(source.count / source.fps / segment_s))
    return count if count > 1 and source.seek(segment_s) else 1


def span(number: int, count: int, segment_s: float) -> Span:
    return Span(number * segment_s, math.inf if number == count - 1 else (number + 1) * segment_s)


def frames_of(source: Video, part: Span, seen: Seen) -> Iterator[Frame]:
    """The frames of a segment and of the overlap before it, noting in ``seen`` what its neighbors must agree with."""
    if part.start > 0 and not source.seek(max(0.0, part.start - OVERLAP_S - RUN_UP_S)):
        return
    for frame in source:
        if frame.time >= part.stop:
            return
        if frame.time < part.start - OVERLAP_S:
            continue
        before = frame.time < part.start
        seen.frames += not before
        if before or frame.time >= part.stop - OVERLAP_S:
            note = frame.time, zlib.crc32(frame.image.tobytes())
            (seen.head if before else seen.tail).append(note)
        yield frame


def join(pieces: Sequence[Table]) -> Table | None:
    """The table of a whole video from those of its segments, with the ids that an unbroken run would give.

    None if the segments do not fit: where seeking led to other frames than reading on does.
    """
    for piece in pieces:
        if piece.rows[0].state == FAILED:
            return Table(piece.faces[:0], [failed_row(pieces[0].rows[0], piece.rows[0].error)])
    told = [piece.more or {} for piece in pieces]
    if any(not before["tail"] or before["tail"] != after["head"] for before, after in pairwise(told)):
        return None
    tables: list[pa.Table] = []
    first, most = 0, 0
    for number, (piece, more) in enumerate(zip(pieces, told, strict=True)):
        faces = _renumbered(piece.faces, first - len(more["head"]))
        inside = np.asarray(faces["frame"]) >= first
        ids = _ids(tables[-1], faces, inside, most) if number else {}
        tracks = np.asarray(faces["track"])[inside]
        kept = faces.filter(arrow().array(inside))
        tables.append(_with_tracks(kept, [ids.get(track, track) for track in tracks.tolist()]))
        most = max([most, *np.asarray(tables[-1]["track"]).tolist()])
        first += more["frames"]
    whole, one, last = joined(tables), pieces[0].rows[0], pieces[-1].rows[0]
    warnings = "; ".join(dict.fromkeys(piece.rows[0].warnings for piece in pieces if piece.rows[0].warnings))
    row = replace(one, frames=first, seconds=last.seconds, warnings=warnings)
    return Table(whole, [with_faces(row, whole)])


def _renumbered(faces: pa.Table, offset: int) -> pa.Table:
    """The faces with frame numbers of the whole video: those of a segment count from its first frame, 0."""
    at = faces.schema.get_field_index("frame")
    return faces.set_column(at, faces.schema.field(at), arrow().array(np.asarray(faces["frame"]) + offset))


def _with_tracks(faces: pa.Table, tracks: Iterable[int]) -> pa.Table:
    at = faces.schema.get_field_index("track")
    return faces.set_column(at, faces.schema.field(at), arrow().array(list(tracks), faces.schema.field(at).type))


def _ids(before: pa.Table, faces: pa.Table, inside: np.ndarray, most: int) -> dict[int, int]:
    """The id in the whole video of each id of a segment: that of the face before it that was at the same place in the
    frames that both have, most often; the others are new, in the order in which they come."""
    votes = Counter(_pairs(before, faces.filter(arrow().array(~inside))))
    ids: dict[int, int] = {}
    for (old, new), _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0])):
        if new not in ids and old not in ids.values():
            ids[new] = old
    for track in np.asarray(faces["track"])[inside].tolist():
        if track not in ids:
            most += 1
            ids[track] = most
    return ids


def _pairs(before: pa.Table, after: pa.Table) -> Iterator[tuple[int, int]]:
    """The ids of two faces that are at one place in one frame, for all such pairs."""
    places: dict[int, list[tuple[int, list[float]]]] = {}
    first = min(np.asarray(after["frame"]).tolist(), default=0)
    for frame, track, *box in _boxes(before.filter(arrow().array(np.asarray(before["frame"]) >= first))):
        places.setdefault(int(frame), []).append((int(track), box))
    for frame, track, *box in _boxes(after):
        yield from ((old, int(track)) for old, other in places.get(int(frame), ()) if _overlap(box, other) > SAME_FACE)


def _boxes(faces: pa.Table) -> list[list[float]]:
    columns = [np.asarray(faces[name], np.float64) for name in ("frame", "track", "x1", "y1", "x2", "y2")]
    found: list[list[float]] = np.stack(columns, axis=1).tolist()
    return found


def _overlap(box: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union."""
    wide = min(box[2], other[2]) - max(box[0], other[0])
    tall = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0.0, wide) * max(0.0, tall)
    areas = sum((part[2] - part[0]) * (part[3] - part[1]) for part in (box, other))
    return shared / (areas - shared) if areas > shared else 0.0
