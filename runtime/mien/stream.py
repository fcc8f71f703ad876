"""The state of one camera: who is where, and what each face has shown lately."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.align import crop, crop_matrix
from mien.checks import check_frame, check_number
from mien.detector import Detector
from mien.errors import InputError
from mien.expression import ExpressionModel
from mien.faces import Detection, Face, Image
from mien.person import Person
from mien.smoothing import Clock
from mien.temporal import Memory, TemporalEncoder
from mien.tracker import Track, Tracker

SECONDS = "a number of seconds from 0"
STAGES = ("detect", "crop", "engine", "smooth")
RETRY = 0.2
"""Seconds between searches of the whole frame while a face is missing."""


@dataclass(frozen=True)
class StreamOptions:
    """``search_every``: seconds between searches of the whole frame for new faces. ``max_gap``: seconds for which a
    face may be out of sight and keep its id.

    ``smoothing``: time constant of the probabilities in seconds; valence, arousal and places follow it when they rest,
    and are quicker when they move. 0 turns all of it off. ``baseline``: seconds at the start of each track that show
    the person at rest, which is taken off afterwards; 0 for none.

    With a temporal encoder that reads the probabilities, valence and arousal, and ``smoothing`` is for places alone.
    """

    search_every: float = 1.0
    max_gap: float = 1.0
    smoothing: float = 0.25
    baseline: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if check_number(value, name, SECONDS) < 0:
                raise InputError(f"{name} is {value}; use {SECONDS}")


class Stream:
    """Faces of one camera or video, frame by frame, with ids that stay and values that do not flicker.

    Made by ``Recognizer.stream``. Not for several threads at once; but many streams may share a recognizer.
    ``timings`` says where the seconds of the last update went: detect, crop, engine, smooth.
    """

    def __init__(
        self,
        detector: Detector,
        model: ExpressionModel,
        options: StreamOptions,
        encoder: TemporalEncoder | None = None,
    ):
        self._detector = detector
        self._encoder = encoder
        self._model = model
        self._options = options
        self._crops = np.empty((1, model.card.crop.size, model.card.crop.size, 3), np.uint8)
        self.timings: dict[str, float] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all faces, as at a cut to another scene. Ids start again from 1."""
        self._clock = Clock()
        self._tracker = Tracker(self._options.max_gap)
        self._persons: dict[int, Person] = {}
        self._memory = Memory(self._encoder) if self._encoder else None
        self._searched = -float("inf")

    def update(self, image: Image, time: float) -> list[Face]:
        """uint8 BGR (H, W, 3) at ``time`` s -> faces in sight, the largest first, each with ``track_id`` and ``raw``.

        Times should rise; one that does not counts as a usual step. After a step longer than ``max_gap`` every face
        is a new one. Raises InputError for a frame or time that is none.
        """
        seconds = check_number(time, "time", "the seconds since any moment, for example time.monotonic()")
        image = check_frame(image)
        times = [clock.perf_counter()]
        step = self._clock.tick(seconds)
        found = self._find(image, step)
        known = [pair for pair in zip(found, self._tracker.update(found, step), strict=True) if pair[1]]
        detections, tracks = [face for face, _ in known], [track for _, track in known if track]
        times.append(clock.perf_counter())
        persons = self._persons_of(tracks)
        places = [person.settle(face, self._clock.now) for person, face in zip(persons, detections, strict=True)]
        crops = self._cut(image, places)
        times.append(clock.perf_counter())
        results = self._model.read(crops)
        times.append(clock.perf_counter())
        ids = [track.id for track in tracks]
        readings = self._memory.read(ids, self._clock.now, results) if self._memory else [None] * len(ids)
        raws = [
            Face(face.box, face.landmarks, face.score, *result, id_)
            for face, result, id_ in zip(detections, results, ids, strict=True)
        ]
        faces = [
            person.update(raw, place, self._model.min_confidence, reading)
            for person, raw, place, reading in zip(persons, raws, places, readings, strict=True)
        ]
        times.append(clock.perf_counter())
        self.timings = dict(zip(STAGES, np.diff(times).tolist(), strict=True))
        return faces

    @property
    def hidden(self) -> list[Face]:
        """Faces out of sight for less than ``max_gap``: as last seen, moved to where they should be now."""
        return [
            replace(person.face, box=track.expected(), landmarks=None)
            for track in self._tracker.tracks
            if track.missing > 0 and (person := self._persons.get(track.id)) and person.face
        ]

    def _persons_of(self, tracks: Sequence[Track]) -> list[Person]:
        """Those of ``tracks``, in their order; forgets those whose track has ended."""
        alive = {track.id for track in self._tracker.tracks}
        self._persons = {id_: person for id_, person in self._persons.items() if id_ in alive}
        if self._memory:
            self._memory.forget_but(alive)
        options = self._options
        return [self._persons.setdefault(track.id, Person(options.smoothing, options.baseline)) for track in tracks]

    def _cut(self, image: Image, places: Sequence[Detection]) -> Image:
        """The crops (N, S, S, 3) in a buffer that the next frame uses again."""
        spec = self._model.card.crop
        if len(places) > len(self._crops):
            self._crops = np.empty((len(places), spec.size, spec.size, 3), np.uint8)
        for place, out in zip(places, self._crops, strict=False):
            crop(image, crop_matrix(spec, place.box, place.landmarks), spec.size, out)
        return self._crops[: len(places)]

    def _find(self, image: Image, step: float) -> list[Detection]:
        """The whole frame now and then; in between a window for each known face."""
        now = self._clock.now
        tracks = [track for track in self._tracker.tracks if track.missing + step <= self._options.max_gap]
        if tracks and now - self._searched < self._options.search_every:
            found = self._detector.detect_near(image, [track.expected(step) for track in tracks])
            in_sight = sum(track.missing == 0 for track in tracks)
            waiting = len(found) >= in_sight and now - self._searched < RETRY
            if len(found) >= len(tracks) or waiting:
                return found
        self._searched = now
        return self._detector.detect(image)

    def close(self) -> None:
        """Nothing is held open; for the sake of ``with``."""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
