"""The state of one camera: who is where, and what each face has shown lately."""

from __future__ import annotations

import time as clock
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mien.align import crop, crop_matrix
from mien.errors import InputError, MienError
from mien.tracking.face_state import Person
from mien.tracking.smoothing import Clock
from mien.tracking.temporal import Memory, Reading, TemporalEncoder
from mien.tracking.tracker import Track, Tracker
from mien.types import Detection, Face, Floats, Frame, Image
from mien.validation import check_number
from mien.vision.detector import Detector
from mien.vision.expression import ExpressionModel
from mien.vision.frames import check_frame
from mien.vision.orientation import LEAN

SECONDS = "a number of seconds from 0"
STAGES = ("detect", "crop", "engine", "smooth")
RETRY = 0.2
"""Seconds between searches of the whole frame while a face is missing."""


@dataclass(frozen=True)
class StreamOptions:
    """Durations of a stream, all in seconds.

    Attributes:
        search_every: Time between searches of the whole frame for new faces.
        max_gap: Time for which a face may be out of sight and keep its id.
        smoothing: Time constant of the probabilities. Valence, arousal and places follow it when they rest, and are
            quicker when they move. 0 turns all of it off. What a temporal encoder says is averaged over 0.4 of it.
        baseline: Time at the start of each track that shows the person at rest, which is taken off afterwards; 0 for
            none.
    """

    search_every: float = 1.0
    max_gap: float = 1.0
    smoothing: float = 0.25
    baseline: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if check_number(value, name, SECONDS) < 0:
                raise InputError(f"{name} is {value}; use {SECONDS}")


class _One(NamedTuple):
    """One face of a frame before the model reads it. ``step``: seconds since the person was last seen."""

    id: int
    person: Person
    detection: Detection
    place: Detection
    step: float


class _Seen(NamedTuple):
    """One frame before the model reads it, at ``now`` s. ``alive``: ids of all tracks. ``absent``: who is out of sight,
    and the box (4,) where the face should be. ``seconds``: what the stages took so far."""

    now: float
    alive: set[int]
    faces: list[_One]
    crops: Image
    absent: list[tuple[Person, Floats]]
    seconds: tuple[float, float]


class _Told(NamedTuple):
    """One frame when it is read."""

    faces: list[Face]
    hidden: list[Face]
    timings: dict[str, float]


class Stream:
    """Faces of one camera or video, frame by frame, with ids that stay and values that do not flicker.

    Made by ``Recognizer.stream``. Not for several threads at once; but many streams may share a recognizer.

    Attributes:
        timings: Seconds that the last frame took, by stage: detect, crop, engine, smooth.
        hidden: Faces out of sight for less than ``max_gap``, as last seen, moved to where they should be now.
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
        # Two: the crops of one frame are read while those of the next are cut.
        self._crops = [np.empty((0, model.card.crop.size, model.card.crop.size, 3), np.uint8)] * 2
        self.timings: dict[str, float] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all faces, as at a cut to another scene. Ids start again from 1."""
        self._clock = Clock()
        self._tracker = Tracker(self._options.max_gap)
        self._persons: dict[int, Person] = {}
        self._memory = Memory(self._encoder) if self._encoder else None
        self._searched = -float("inf")
        self.hidden: list[Face] = []

    def update(self, image: Image, time: float) -> list[Face]:
        """Read the next frame.

        Args:
            image: uint8 BGR (H, W, 3).
            time: Seconds since any moment. Times should rise; one that does not counts as a usual step. After a step
                longer than ``max_gap`` every face is a new one.

        Returns:
            The faces in sight, the largest first, each with ``track_id`` and ``raw``.

        Raises:
            InputError: The frame is not a picture, or the time not a number.
        """
        return self._show(self._tell(self._look(image, time)))

    def read(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Face]]]:
        """Read all frames of a file, two at a time: more throughput than ``update``, for a frame's delay.

        While the model reads one frame, the faces of the next are looked for.

        Args:
            frames: Such as a source of ``open_source``.

        Yields:
            Each frame, in order, with the faces that ``update`` would give.

        Raises:
            MienError: An engine failed; the message names the frame. What ``frames`` and ``update`` raise comes after
                the frames before it.
        """
        waiting: tuple[Frame, Future[_Told]] | None = None
        failure: Exception | None = None
        source = iter(frames)
        with ThreadPoolExecutor(1, "mien engine") as worker:
            while failure is None:
                try:
                    frame = next(source)
                    with self._named(frame):
                        seen = self._look(frame.image, frame.time)
                except StopIteration:
                    break
                except Exception as error:
                    failure = error
                    break
                now = frame, worker.submit(self._tell, seen)
                if waiting:
                    yield self._shown(*waiting)
                waiting = now
            if waiting:
                yield self._shown(*waiting)
        if failure:
            raise failure

    def _shown(self, frame: Frame, told: Future[_Told]) -> tuple[Frame, list[Face]]:
        with self._named(frame):
            return frame, self._show(told.result())

    @contextmanager
    def _named(self, frame: Frame) -> Iterator[None]:
        """Errors of engines share no class, and do not say where they happened."""
        try:
            yield
        except MienError:
            raise
        except Exception as error:
            raise engine_failed(self._model.engine.name, frame, error) from error

    def _look(self, image: Image, time: float) -> _Seen:
        """All that comes before the model."""
        seconds = check_number(time, "time", "the seconds since any moment, for example time.monotonic()")
        image = check_frame(image)
        start = clock.perf_counter()
        step = self._clock.tick(seconds)
        found = self._find(image, step)
        known = [(face, track) for face, track in zip(found, self._tracker.update(found, step), strict=True) if track]
        persons = self._persons_of([track for _, track in known])
        absent = [
            (self._persons[track.id], track.expected())
            for track in self._tracker.tracks
            if track.missing > 0 and track.id in self._persons
        ]
        tracked = clock.perf_counter()
        faces = [
            _One(track.id, person, face, *person.settle(face, self._clock.now))
            for person, (face, track) in zip(persons, known, strict=True)
        ]
        crops = self._cut(image, [face.place for face in faces])
        alive = {track.id for track in self._tracker.tracks}
        return _Seen(self._clock.now, alive, faces, crops, absent, (tracked - start, clock.perf_counter() - tracked))

    def _tell(self, seen: _Seen) -> _Told:
        """What the model says, and what it comes to over time."""
        start = clock.perf_counter()
        results = self._model.read(seen.crops)
        read = clock.perf_counter()
        readings: Sequence[Reading | None] = [None] * len(seen.faces)
        if self._memory:
            self._memory.forget_but(seen.alive)
            readings = self._memory.read([one.id for one in seen.faces], seen.now, results)
        faces = [
            one.person.update(
                Face(one.detection.box, one.detection.landmarks, one.detection.score, *result, one.id),
                one.place,
                one.step,
                self._model.labeling,
                reading,
            )
            for one, result, reading in zip(seen.faces, results, readings, strict=True)
        ]
        hidden = [replace(person.face, box=box, landmarks=None) for person, box in seen.absent if person.face]
        times = *seen.seconds, read - start, clock.perf_counter() - read
        return _Told(faces, hidden, dict(zip(STAGES, times, strict=True)))

    def _show(self, told: _Told) -> list[Face]:
        self.hidden, self.timings = told.hidden, told.timings
        return told.faces

    def _persons_of(self, tracks: Sequence[Track]) -> list[Person]:
        """Those of ``tracks``, in their order; forgets those whose track has ended."""
        alive = {track.id for track in self._tracker.tracks}
        self._persons = {id_: person for id_, person in self._persons.items() if id_ in alive}
        options = self._options
        return [self._persons.setdefault(track.id, Person(options.smoothing, options.baseline)) for track in tracks]

    def _cut(self, image: Image, places: Sequence[Detection]) -> Image:
        """The crops (N, S, S, 3) in a buffer that the frame after the next uses again."""
        spec = self._model.card.crop
        crops, other = self._crops
        if len(places) > len(crops):
            crops = np.empty((len(places), spec.size, spec.size, 3), np.uint8)
        self._crops = [other, crops]
        for place, out in zip(places, crops, strict=False):
            crop(image, crop_matrix(spec, place.box, place.landmarks), spec.size, out)
        return crops[: len(places)]

    def _find(self, image: Image, step: float) -> list[Detection]:
        """The whole frame now and then; in between a window for each known face."""
        now = self._clock.now
        tracks = [track for track in self._tracker.tracks if track.missing + step <= self._options.max_gap]
        if tracks and now - self._searched < self._options.search_every:
            boxes = [track.expected(step) for track in tracks]
            found = self._detector.detect_near(image, boxes, [track.angle for track in tracks])
            in_sight = sum(track.missing == 0 for track in tracks)
            waiting = len(found) >= in_sight and now - self._searched < RETRY
            if len(found) >= len(tracks) or waiting:
                return found
        self._searched = now
        turned = [(track.expected(step), track.angle) for track in tracks if abs(track.angle) > LEAN]
        return self._detector.detect(image, turned) if turned else self._detector.detect(image)

    def close(self) -> None:
        """Nothing is held open; for the sake of ``with``."""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def engine_failed(engine: str, frame: Frame, error: Exception) -> MienError:
    """What to raise where ``engine`` failed on ``frame``."""
    where = f"frame {frame.index} of {frame.name}"
    return MienError(f"{engine} failed on {where}: {error or type(error).__name__}; try --device cpu")
