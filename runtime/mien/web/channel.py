"""One source on the live page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.types import Face, Frame
from mien.web.broadcaster import FrameBroadcaster
from mien.web.counters import Counters, Watched


class Channel:
    """The counters of one source, and what prepares its frames for viewers."""

    def __init__(self, name: str, source: Watched, channels: Mapping[str, Channel], *, blur: bool):
        """``channels``: all of the page, which share the time for drawing."""
        self.name = name
        self.counters = Counters(source)
        self.broadcaster = FrameBroadcaster(
            self.counters, blur=blur, drawing=lambda: sum(channel.watched for channel in channels.values())
        )

    @property
    def watched(self) -> bool:
        """Whether anybody watches its pictures."""
        watching = self.broadcaster.watching
        return bool(watching["stream"] or watching["tiles"])

    def write(self, frame: Frame, faces: Sequence[Face], hidden: Sequence[Face]) -> None:
        self.counters.frame(len(faces))
        self.broadcaster.put(frame, faces, hidden)

    def status(self) -> dict[str, object]:
        """The status that events tell."""
        return {"source": self.name, **self.counters.status()}
