"""Recorded video read with what comes after each frame too: every frame waits until that is known."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mien.tracking.face_state import Rest
from mien.tracking.temporal import Reading, TemporalEncoder
from mien.types import Affect, Face, Floats, Frame
from mien.vision.expression import Labeling, Said

AHEAD = 1.0
"""Seconds after a frame that the encoder looks at."""
SLIDING = 0.4
"""Seconds of the window in which labels are counted and values averaged. Of 0.2 to 1 s, 0.4 read sequences made of
held-out stills with the fewest flips at no loss of accuracy."""

Item = tuple[Frame, list[Face], list[Face]]
"""A frame, its faces, and those that are hidden in it."""


@dataclass(eq=False)
class _Sight:
    """One face in one frame."""

    time: float
    face: Face
    token: Floats | None
    reading: Reading | None = None


@dataclass
class _Past:
    """What is kept of one track: its last sightings, and the person at rest."""

    sights: deque[_Sight] = field(default_factory=deque)
    rest: Rest | None = None
    last: float | None = None


class Offline:
    """Faces of a stream -> the same faces as they read with both sides of their time, some frames later.

    The temporal encoder sees a centred window, where there is one; then values are means, and labels the most frequent,
    over a sliding window: the post-processing of arXiv 2403.11942. ``raw`` of each face stays as it was.
    """

    def __init__(self, encoder: TemporalEncoder | None, labeling: Labeling | None = None, baseline: float = 0.0):
        """``labeling`` and ``baseline`` as of a recognizer and a stream, which should leave them to this."""
        self._encoder = encoder
        self._labeling = labeling or Labeling()
        self._baseline = baseline
        self._tracks: dict[int, _Past] = {}
        self._waiting: deque[Item] = deque()

    def push(self, frame: Frame, faces: Sequence[Face], hidden: Sequence[Face] = ()) -> list[Item]:
        """The next frame, its faces with ``track_id`` and ``raw``, and ``hidden`` ones -> frames that are done now."""
        self._waiting.append((frame, list(faces), list(hidden)))
        for face in faces:
            past = self._tracks.setdefault(_id(face), _Past())
            past.sights.append(_Sight(frame.time, face, self._token(face)))
        return self._done(frame.time - AHEAD - SLIDING / 2)

    def finish(self) -> list[Item]:
        """The frames that are left, after the last one."""
        return self._done(np.inf)

    def _done(self, until: float) -> list[Item]:
        made = []
        while self._waiting and self._waiting[0][0].time <= until:
            frame, faces, hidden = self._waiting.popleft()
            made.append((frame, [self._read(frame.time, face) for face in faces], hidden))
        oldest = (self._waiting[0][0].time if self._waiting else until) - self._span() - SLIDING
        for id_, past in list(self._tracks.items()):
            while past.sights and past.sights[0].time < oldest:
                past.sights.popleft()
            if not past.sights and not past.rest:
                del self._tracks[id_]
        return made

    def _span(self) -> float:
        return self._encoder.spec.span if self._encoder else 0.0

    def _token(self, face: Face) -> Floats | None:
        """What the encoder keeps of a frame. It is read without any other: the token is of this frame alone."""
        if not self._encoder:
            return None
        tokens, ages = self._encoder.blank()
        token: Floats = self._encoder.run([_result(face)], tokens[None], ages[None])[1][0]
        return token

    def _read(self, time: float, face: Face) -> Face:
        """The face at ``time``, by the means and the votes of the window around it."""
        past = self._tracks[_id(face)]
        near = [sight for sight in past.sights if abs(sight.time - time) <= SLIDING / 2]
        for sight in near:
            sight.reading = sight.reading or self._around(past, sight)
        readings = [sight.reading for sight in near if sight.reading]
        told = [self._labeling.kept(probabilities) for probabilities, _ in readings]
        labels = list(told[0])
        values = np.array([list(probabilities.values()) for probabilities in told])
        named = dict(zip(labels, values.mean(0).tolist(), strict=True))
        felt = [(affect.valence, affect.arousal) for _, affect in readings if affect]
        affect = Affect(*np.mean(felt, axis=0).tolist()) if felt else None
        votes = np.bincount(values.argmax(1), minlength=len(labels))
        leader: str | None = labels[int((votes + values.mean(0) / 2).argmax())]
        if self._baseline:
            past.rest = past.rest or Rest(self._baseline)
            step = time - (time - 1 / 25 if past.last is None else past.last)
            past.last = time
            baseline = past.rest.update(named, affect, max(step, 1e-6))
            if baseline:  # what was counted was the face with its habit
                named, affect, leader = baseline.correct(named), affect and baseline.shift(affect), None
        return replace(face, expression=self._labeling.expression(named, leader), affect=affect)

    def _around(self, past: _Past, sight: _Sight) -> Reading:
        """What the encoder makes of a sighting with as many before as after it, or what the student said of it."""
        if not self._encoder:
            expression, affect, _ = _result(sight.face)
            return expression.probabilities, affect
        half = self._encoder.spec.window // 2
        earlier = [other for other in past.sights if other.time < sight.time][-half + 1 :]
        later = [other for other in past.sights if sight.time < other.time <= sight.time + AHEAD][:half]
        tokens, ages = self._encoder.blank()
        for i, other in enumerate([*earlier, *later]):
            tokens[i], ages[i] = other.token, sight.time - other.time
        return self._encoder.run([_result(sight.face)], tokens[None], ages[None])[0][0]


def _id(face: Face) -> int:
    return face.track_id or 0


def _result(face: Face) -> Said:
    alone = face.raw or face
    return alone.expression, alone.affect, alone.embedding
