"""The state of one camera or video: where each face is, and what it has shown lately."""

from __future__ import annotations

import time as clock
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mien.align import crop, crop_matrix
from mien.errors import MienError
from mien.tracking.face_state import FaceState
from mien.tracking.options import StreamOptions
from mien.tracking.smoothing import Clock
from mien.tracking.temporal import Memory, Reading, TemporalEncoder
from mien.tracking.tracker import Track, Tracker
from mien.types import Detection, Face, Floats, Frame, Image
from mien.validation import check_number
from mien.vision.detector import Detector
from mien.vision.expression import ExpressionModel
from mien.vision.frames import check_frame
from mien.vision.orientation import LEAN_RADIANS

STAGES = ("detect", "crop", "engine", "smooth")
RETRY_SECONDS = 0.2
"""Time between searches of the whole frame while a face is missing."""


class _TrackedFace(NamedTuple):
    """A face of a frame, as detected and smoothed (``place``). ``step``: seconds since it was last seen."""

    id: int
    state: FaceState
    detection: Detection
    place: Detection
    step: float


class _PreparedFrame(NamedTuple):
    """A frame before the model runs, at ``now`` s. ``alive``: ids of all tracks. ``absent``: faces out of sight, and
    the box (4,) where each should be. ``seconds``: durations of the stages detect and crop."""

    now: float
    alive: set[int]
    faces: list[_TrackedFace]
    crops: Image
    absent: list[tuple[FaceState, Floats]]
    seconds: tuple[float, float]


class _FrameResult(NamedTuple):
    """The faces of a frame, those that are hidden in it, and the seconds of each stage."""

    faces: list[Face]
    hidden: list[Face]
    timings: dict[str, float]


class Stream:
    """Faces of one camera or video, frame by frame, with stable ids and values that do not flicker.

    Create it with ``Recognizer.stream``. A stream is for one thread at a time, but many streams may share a recognizer.

    Attributes:
        timings: Seconds that the stages of the last frame took: detect, crop, engine, smooth.
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
        # Two buffers: the model reads the crops of one frame while those of the next are cut.
        self._crops = [np.empty((0, model.card.crop.size, model.card.crop.size, 3), np.uint8)] * 2
        self.timings: dict[str, float] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all faces, for example at a cut to another scene. Ids start again from 1."""
        self._clock = Clock()
        self._tracker = Tracker(self._options.max_gap)
        self._states: dict[int, FaceState] = {}
        self._memory = Memory(self._encoder) if self._encoder else None
        self._searched = -float("inf")
        self.hidden: list[Face] = []

    def update(self, image: Image, time: float) -> list[Face]:
        """The faces in the next frame.

        Args:
            image: uint8 BGR (H, W, 3).
            time: Time of the frame in seconds. Times should increase; one that does not counts as a usual step. After a
                step longer than ``max_gap`` every face counts as a new one.

        Returns:
            The faces in sight, the largest first, each with ``track_id`` and ``raw``.

        Raises:
            InputError: The frame or the time cannot be used.
        """
        return self._publish(self._recognize(self._prepare(image, time)))

    def read(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Face]]]:
        """Process all ``frames`` in order, two in parallel: higher throughput, but a delay of one frame. For files.

        Args:
            frames: Frames of a source.

        Yields:
            Each frame with the faces that ``update`` would return for it.

        Raises:
            MienError: An engine fails; the message names the frame. Other errors come out after the frames before.
        """
        waiting: tuple[Frame, Future[_FrameResult]] | None = None
        failure: Exception | None = None
        source = iter(frames)
        with ThreadPoolExecutor(1, "mien engine") as worker:
            while failure is None:
                try:
                    frame = next(source)
                    with self._naming(frame):
                        prepared = self._prepare(frame.image, frame.time)
                except StopIteration:
                    break
                except Exception as error:
                    failure = error
                    break
                current = frame, worker.submit(self._recognize, prepared)
                if waiting:
                    yield self._finished(*waiting)
                waiting = current
            if waiting:
                yield self._finished(*waiting)
        if failure:
            raise failure

    def _finished(self, frame: Frame, result: Future[_FrameResult]) -> tuple[Frame, list[Face]]:
        with self._naming(frame):
            return frame, self._publish(result.result())

    @contextmanager
    def _naming(self, frame: Frame) -> Iterator[None]:
        """Turn an engine's error into one that names the frame. Errors of engines have no common class."""
        try:
            yield
        except MienError:
            raise
        except Exception as error:
            raise engine_failed(self._model.engine.name, frame, error) from error

    def _prepare(self, image: Image, time: float) -> _PreparedFrame:
        """Everything before the model: detect, track, smooth positions and cut crops."""
        seconds = check_number(time, "time", "the seconds since any moment, for example time.monotonic()")
        image = check_frame(image)
        start = clock.perf_counter()
        step = self._clock.tick(seconds)
        found = self._detect(image, step)
        known = [(face, track) for face, track in zip(found, self._tracker.update(found, step), strict=True) if track]
        states = self._states_of([track for _, track in known])
        absent = [
            (self._states[track.id], track.expected())
            for track in self._tracker.tracks
            if track.missing > 0 and track.id in self._states
        ]
        tracked = clock.perf_counter()
        faces = [
            _TrackedFace(track.id, state, face, *state.smooth_position(face, self._clock.now))
            for state, (face, track) in zip(states, known, strict=True)
        ]
        crops = self._cut([face.place for face in faces], image)
        alive = {track.id for track in self._tracker.tracks}
        durations = tracked - start, clock.perf_counter() - tracked
        return _PreparedFrame(self._clock.now, alive, faces, crops, absent, durations)

    def _recognize(self, prepared: _PreparedFrame) -> _FrameResult:
        """Run the model, and the temporal encoder if there is one, and smooth the results over time."""
        start = clock.perf_counter()
        predictions = self._model.predict(prepared.crops)
        predicted = clock.perf_counter()
        readings: Sequence[Reading | None] = [None] * len(prepared.faces)
        if self._memory:
            self._memory.forget_but(prepared.alive)
            readings = self._memory.read([face.id for face in prepared.faces], prepared.now, predictions)
        faces = [
            face.state.update(
                Face(face.detection.box, face.detection.landmarks, face.detection.score, *prediction, face.id),
                face.place,
                face.step,
                self._model.labeling,
                reading,
            )
            for face, prediction, reading in zip(prepared.faces, predictions, readings, strict=True)
        ]
        hidden = [replace(state.face, box=box, landmarks=None) for state, box in prepared.absent if state.face]
        durations = *prepared.seconds, predicted - start, clock.perf_counter() - predicted
        return _FrameResult(faces, hidden, dict(zip(STAGES, durations, strict=True)))

    def _publish(self, result: _FrameResult) -> list[Face]:
        self.hidden, self.timings = result.hidden, result.timings
        return result.faces

    def _states_of(self, tracks: Sequence[Track]) -> list[FaceState]:
        """The states of ``tracks``, in the same order. Forgets those whose track has ended."""
        alive = {track.id for track in self._tracker.tracks}
        self._states = {id_: state for id_, state in self._states.items() if id_ in alive}
        options = self._options
        return [self._states.setdefault(track.id, FaceState(options.smoothing, options.baseline)) for track in tracks]

    def _cut(self, places: Sequence[Detection], image: Image) -> Image:
        """The crops (N, S, S, 3) at ``places``, in a buffer that is used again two frames later."""
        spec = self._model.card.crop
        crops, other = self._crops
        if len(places) > len(crops):
            crops = np.empty((len(places), spec.size, spec.size, 3), np.uint8)
        self._crops = [other, crops]
        for place, out in zip(places, crops, strict=False):
            crop(image, crop_matrix(spec, place.box, place.landmarks), spec.size, out)
        return crops[: len(places)]

    def _detect(self, image: Image, step: float) -> list[Detection]:
        """Search the whole frame from time to time, and otherwise only a window around each known face."""
        now = self._clock.now
        tracks = [track for track in self._tracker.tracks if track.missing + step <= self._options.max_gap]
        if tracks and now - self._searched < self._options.search_every:
            boxes = [track.expected(step) for track in tracks]
            found = self._detector.detect_near(image, boxes, [track.angle for track in tracks])
            in_sight = sum(track.missing == 0 for track in tracks)
            waiting = len(found) >= in_sight and now - self._searched < RETRY_SECONDS
            if len(found) >= len(tracks) or waiting:
                return found
        self._searched = now
        turned = [(track.expected(step), track.angle) for track in tracks if abs(track.angle) > LEAN_RADIANS]
        return self._detector.detect(image, turned) if turned else self._detector.detect(image)

    def close(self) -> None:
        """Do nothing: a stream holds no resources. It exists so that ``with`` works."""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def engine_failed(engine: str, frame: Frame, error: Exception) -> MienError:
    """The error to raise if ``engine`` failed on ``frame``."""
    where = f"frame {frame.index} of {frame.name}"
    return MienError(f"{engine} failed on {where}: {error or type(error).__name__}; try the device 'cpu'")
