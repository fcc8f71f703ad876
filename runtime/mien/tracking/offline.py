"""Recorded video, for which each frame is interpreted with the frames after it too, and waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mien.tracking.face_state import BaselineLearner
from mien.tracking.temporal import Reading, TemporalEncoder
from mien.types import Affect, Face, Floats, Frame
from mien.vision.expression import Labeling, Prediction

LOOKAHEAD_SECONDS = 1.0
"""How far after a frame the encoder looks."""
VOTE_SECONDS = 0.4
"""Length of the window in which labels are counted and values averaged. Among 0.2 to 1 s, 0.4 gave the fewest label
changes at no loss of accuracy, on sequences made of held-out stills."""

Item = tuple[Frame, list[Face], list[Face]]
"""A frame, its faces, and those that are hidden in it."""


@dataclass(eq=False)
class _Sighting:
    """One face in one frame, with the encoder's token for it."""

    time: float
    face: Face
    token: Floats | None
    reading: Reading | None = None


@dataclass
class _TrackHistory:
    """The recent sightings of one track, and what learns its baseline."""

    sightings: deque[_Sighting] = field(default_factory=deque)
    learner: BaselineLearner | None = None
    last: float | None = None


class Offline:
    """Reads the faces of a stream again, some frames later, with the frames before and after each.

    The temporal encoder, if there is one, sees a centered window. Then values are averaged, and the most frequent label
    is chosen, over a sliding window: the post-processing of arXiv 2403.11942. ``raw`` of each face stays as it was.
    """

    def __init__(self, encoder: TemporalEncoder | None, labeling: Labeling | None = None, baseline: float = 0.0):
        """``labeling`` and ``baseline`` (in seconds) mean the same as for a recognizer and a stream. The stream before
        should not apply them itself."""
        self._encoder = encoder
        self._labeling = labeling or Labeling()
        self._baseline = baseline
        self._tracks: dict[int, _TrackHistory] = {}
        self._waiting: deque[Item] = deque()

    def push(self, frame: Frame, faces: Sequence[Face], hidden: Sequence[Face] = ()) -> list[Item]:
        """Add the next frame. Returns the frames that are finished now.

        Args:
            frame: The frame. Its image is only passed through.
            faces: Its faces, with ``track_id`` and ``raw``.
            hidden: Faces that are hidden in it, which are passed through.
        """
        self._waiting.append((frame, list(faces), list(hidden)))
        for face in faces:
            history = self._tracks.setdefault(_id(face), _TrackHistory())
            history.sightings.append(_Sighting(frame.time, face, self._token(face)))
        return self._done(frame.time - LOOKAHEAD_SECONDS - VOTE_SECONDS / 2)

    def finish(self) -> list[Item]:
        """The remaining frames, after the last one was pushed."""
        return self._done(np.inf)

    def _done(self, until: float) -> list[Item]:
        items = []
        while self._waiting and self._waiting[0][0].time <= until:
            frame, faces, hidden = self._waiting.popleft()
            items.append((frame, [self._read(frame.time, face) for face in faces], hidden))
        oldest = (self._waiting[0][0].time if self._waiting else until) - self._span() - VOTE_SECONDS
        for id_, history in list(self._tracks.items()):
            while history.sightings and history.sightings[0].time < oldest:
                history.sightings.popleft()
            if not history.sightings and not history.learner:
                del self._tracks[id_]
        return items

    def _span(self) -> float:
        return self._encoder.spec.span if self._encoder else 0.0

    def _token(self, face: Face) -> Floats | None:
        """The encoder's token for a face. It depends on this frame alone, so it is computed without any other."""
        if not self._encoder:
            return None
        tokens, ages = self._encoder.blank()
        token: Floats = self._encoder.run([_prediction(face)], tokens[None], ages[None])[1][0]
        return token

    def _read(self, time: float, face: Face) -> Face:
        """The face at ``time``, from the means and the votes in the window around it."""
        history = self._tracks[_id(face)]
        near = [sighting for sighting in history.sightings if abs(sighting.time - time) <= VOTE_SECONDS / 2]
        for sighting in near:
            sighting.reading = sighting.reading or self._around(history, sighting)
        readings = [sighting.reading for sighting in near if sighting.reading]
        by_reading = [self._labeling.without_excluded(probabilities) for probabilities, _ in readings]
        labels = list(by_reading[0])
        values = np.array([list(probabilities.values()) for probabilities in by_reading])
        means = dict(zip(labels, values.mean(0).tolist(), strict=True))
        pairs = [(affect.valence, affect.arousal) for _, affect in readings if affect]
        affect = Affect(*np.mean(pairs, axis=0).tolist()) if pairs else None
        votes = np.bincount(values.argmax(1), minlength=len(labels))
        leader: str | None = labels[int((votes + values.mean(0) / 2).argmax())]
        if self._baseline:
            history.learner = history.learner or BaselineLearner(self._baseline)
            step = time - (time - 1 / 25 if history.last is None else history.last)
            history.last = time
            baseline = history.learner.update(means, affect, max(step, 1e-6))
            if baseline:  # the votes counted the face without the correction
                means, affect, leader = baseline.correct(means), affect and baseline.shift(affect), None
        return replace(face, expression=self._labeling.expression(means, leader), affect=affect)

    def _around(self, history: _TrackHistory, sighting: _Sighting) -> Reading:
        """The encoder's reading of a sighting from as many frames before as after it; without an encoder, the model's
        prediction for its frame."""
        if not self._encoder:
            expression, affect, _ = _prediction(sighting.face)
            return expression.probabilities, affect
        half = self._encoder.spec.window // 2
        end = sighting.time + LOOKAHEAD_SECONDS
        earlier = [other for other in history.sightings if other.time < sighting.time][-half + 1 :]
        later = [other for other in history.sightings if sighting.time < other.time <= end][:half]
        tokens, ages = self._encoder.blank()
        for i, other in enumerate([*earlier, *later]):
            tokens[i], ages[i] = other.token, sighting.time - other.time
        return self._encoder.run([_prediction(sighting.face)], tokens[None], ages[None])[0][0]


def _id(face: Face) -> int:
    return face.track_id or 0


def _prediction(face: Face) -> Prediction:
    """The model's prediction for this frame alone."""
    alone = face.raw or face
    return alone.expression, alone.affect, alone.embedding
