"""What other systems are told of a frame, and of what changed in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from mien.paths import readable
from mien.sinks.records import record
from mien.types import Face, Frame

GONE_S = 1.0
"""A face that was not seen for longer has left. One that is missing for a few frames has not."""


def event(frame: Frame, faces: Sequence[Face]) -> dict[str, Any]:
    """A frame with the records of its faces. ``size``: width and height in px; ``time``: of the source, in s."""
    height, width = frame.image.shape[:2]
    frame = replace(frame, name=readable(frame.name))  # not all readers of JSON take half a character
    return {
        "source": frame.name,
        "frame": frame.index,
        "time": round(frame.time, 4),
        "size": [width, height],
        "faces": [record(frame, number, face) for number, face in enumerate(faces)],
    }


def timestamp() -> str:
    """The time of this machine's clock, as ISO 8601 in UTC with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Changes:
    """Tells which faces of streams arrived, left or changed their expression, for each source by itself."""

    def __init__(self) -> None:
        self._known: dict[str, dict[int, tuple[str, float]]] = {}
        """Label and time of the last sighting, by source and track."""

    def of(self, frame: Frame, faces: Sequence[Face]) -> dict[str, list[int]] | None:
        """The tracks that ``arrived``, ``left`` and ``changed`` their label since the frame before; None if there are
        none. The first frame of a source always counts as a change."""
        first = frame.name not in self._known
        known = self._known.setdefault(frame.name, {})
        # Faces of pictures have no tracks: their numbers serve.
        labels = {
            number if face.track_id is None else face.track_id: face.expression.label
            for number, face in enumerate(faces)
        }
        arrived = [track for track in labels if track not in known]
        changed = [track for track, label in labels.items() if track in known and known[track][0] != label]
        # A clock that is set back says nothing of how long a face was away, so such a face has left, too.
        left = [
            track for track, (_, seen) in known.items() if track not in labels and not 0 <= frame.time - seen <= GONE_S
        ]
        for track in left:
            del known[track]
        known.update((track, (label, frame.time)) for track, label in labels.items())
        return {"arrived": arrived, "left": left, "changed": changed} if first or arrived or left or changed else None
