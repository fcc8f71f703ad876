"""The main class: frames in, faces with expression and affect out."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mien.align import crop, crop_matrix
from mien.bundle import MODELS, find_bundle
from mien.bundle.card import ModelCard
from mien.engines.cores import usable_cores
from mien.engines.selection import open_backend, select_backend
from mien.enrolling import EnrollmentMixin
from mien.enrollment.classes import Personal
from mien.enrollment.storage import load_personal
from mien.errors import InputError
from mien.tracking.offline import Offline
from mien.tracking.options import StreamOptions
from mien.tracking.stream import Stream
from mien.tracking.temporal import TemporalEncoder, load_temporal
from mien.types import Detection, Face, Image
from mien.validation import check_boxes, check_exclude, check_landmarks, check_number, check_range, check_threads
from mien.vision.detector import load_detector
from mien.vision.expression import ExpressionModel, Labeling
from mien.vision.frames import check_frame


class Recognizer(EnrollmentMixin):
    """Recognizes facial expression in pictures. Threads may share it.

    Only ``personal``, what was learned on this device, ever changes, and only as a whole: calls that are running and
    streams that exist already continue with the classes they started with.
    """

    def __init__(
        self,
        model: str | Path = "default",
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        min_face: float = 0.0,
        min_score: float = 0.6,
        min_confidence: float = 0.0,
        exclude: Sequence[str] = (),
        personal: str | Path | None = None,
    ):
        """Load a model.

        Args:
            model: ``default``, the name of a packaged model, or the folder of a bundle.
            device: ``auto``, or one of ``fer-doctor``'s list, such as cpu, cuda, openvino, tensorrt, dla:0, directml or
                coreml. ``auto`` takes the fastest here, which the first call on a machine measures for about a second
                and then remembers; ``engine`` says what was selected. A device given by name never falls back to
                another one.
            precision: auto, fp32, fp16 or int8.
            threads: Threads of the expression model. None for all cores but one, which decodes and searches for faces.
            min_face: Smallest face to report, in px of the frame. 0 searches the frame at 640 px, which finds faces
                from about a fortieth of its longer side. A larger value makes the search faster, a smaller one slower.
            min_score: Minimum score of the face detector, in (0, 1).
            min_confidence: In [0, 1). An expression whose calibrated probability is lower is labeled ``uncertain``.
            exclude: Classes to leave out, such as ``("contempt",)``; the others share their probability. Labels of the
                card, or of expressions in ``personal``.
            personal: File of ``fer-enroll`` or ``save_personal``, with expressions that were learned for this model.

        Raises:
            ModelNotFound: There is no such model.
            ModelInvalid: The bundle is incomplete or altered.
            EngineUnavailable: The device or precision is not available here.
            InputError: An argument is out of range, or the personal file is broken or of another model.
            SourceError: The personal file cannot be read.
        """
        min_score, min_face = check_number(min_score, "min_score"), check_number(min_face, "min_face")
        min_confidence, threads = check_number(min_confidence, "min_confidence"), check_threads(threads)
        check_range(min_score, "min_score", 0.0 < min_score < 1.0, "a value between 0 and 1")
        check_range(min_confidence, "min_confidence", 0.0 <= min_confidence < 1.0, "0, or a probability below 1")
        check_range(min_face, "min_face", min_face >= 0.0, "0 or a number of px")
        bundle = self._bundle = find_bundle(model)
        learned = None if personal is None else load_personal(personal, bundle.card)
        excluded = check_exclude(exclude, (*bundle.card.labels, *(learned.labels if learned else ())))
        self._selection = select_backend(bundle, device, precision, threads)
        engine = open_backend(bundle, (self._selection.device, self._selection.precision), threads)
        self._model = ExpressionModel(bundle.card, engine, Labeling(min_confidence, excluded))
        if learned:
            self._model = self._model.with_personal(learned)
        own = bundle.folder.parent != MODELS
        self._arguments: dict[str, Any] = {
            "model": bundle.folder.absolute() if own else model,
            "device": device,
            "precision": precision,
            "threads": threads,
            "min_face": min_face,
            "min_score": min_score,
            "min_confidence": min_confidence,
            "exclude": excluded,
        }
        self._learning = threading.Lock()
        self._temporal: TemporalEncoder | None = None
        self._detector = load_detector(
            min_face=min_face, min_score=min_score, at_once=1 if threads == 1 else max(1, min(int(usable_cores()), 4))
        )

    def __reduce__(self) -> tuple[Callable[..., Recognizer], tuple[dict[str, Any], Personal]]:
        """A pickle holds the arguments and what was learned. Unpickling loads the model and resolves ``auto`` again; a
        bundle that is not packaged must exist there too."""
        return _rebuild, (self._arguments, self.personal)

    def __copy__(self) -> Recognizer:
        """The copy shares the model; what either of them learns from now on stays separate."""
        other = object.__new__(Recognizer)
        other.__dict__.update(self.__dict__)
        other._learning = threading.Lock()
        return other

    def sharing_calls(self) -> Recognizer:
        """A copy for several threads, with the same model: faces that wait at the same moment share one engine call."""
        other = copy.copy(self)
        other._model = self._model.sharing_calls()
        return other

    def __deepcopy__(self, _: object) -> Recognizer:
        return copy.copy(self)

    @property
    def card(self) -> ModelCard:
        """The model's card: labels, crop, training data and their terms, held-out metrics."""
        return self._model.card

    @property
    def engine(self) -> str:
        """What executes the expression model, and in which precision: for example ``onnxruntime/cpu fp32``."""
        return f"{self._model.engine.name} {self._selection.precision}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes of the model, then those learned on this device, without ``exclude``."""
        return tuple(label for label in self._model.labels if label not in self._model.labeling.exclude)

    def predict(self, frame: ArrayLike) -> list[Face]:
        """The faces in a picture.

        Args:
            frame: uint8 BGR (H, W, 3), as OpenCV returns it; or a Pillow picture or ``cv2.UMat``, which are converted.
                Read files with ``open_source``.

        Returns:
            The faces, the largest first; an empty list if there is none.

        Raises:
            InputError: The frame is not such a picture.
        """
        return self.predict_batch([frame])[0]

    def predict_batch(self, frames: Sequence[ArrayLike]) -> list[list[Face]]:
        """Like ``predict`` for several pictures: a list of faces for each. One engine call processes all faces."""
        images = [check_frame(frame) for frame in frames]
        return self._read(images, [self._detector.detect(image) for image in images])

    def predict_boxes(self, frame: ArrayLike, boxes: ArrayLike, landmarks: ArrayLike | None = None) -> list[Face]:
        """The expressions of faces that another detector found.

        Args:
            frame: A picture as for ``predict``.
            boxes: (N, 4), x1 y1 x2 y2 in px.
            landmarks: (N, 5, 2) in px: the person's right eye, left eye, nose tip, right and left mouth corner. With
                them, crops are turned level.

        Returns:
            The faces, in the order of ``boxes``, with a score of 1.

        Raises:
            InputError: A box is not finite, has no size, or is outside of the frame.
        """
        image = check_frame(frame)
        checked = check_boxes(boxes, image.shape)
        points = None if landmarks is None else check_landmarks(landmarks, checked)
        detections = [Detection(box, None if points is None else points[i], 1.0) for i, box in enumerate(checked)]
        return self._read([image], [detections])[0]

    def stream(
        self,
        *,
        temporal: bool | None = None,
        search_every: float = StreamOptions.search_every,
        max_gap: float = StreamOptions.max_gap,
        smoothing: float = StreamOptions.smoothing,
        baseline: float = StreamOptions.baseline,
    ) -> Stream:
        """Start a stream for one camera or video, with stable ids and values that do not flicker.

        Args:
            temporal: Whether the bundle's temporal encoder recognizes each face from its last frames, in place of the
                filters. None: if the bundle has one, ``smoothing`` is not 0, and no expressions were learned here,
                which an encoder does not know.
            search_every: Seconds between searches of the whole frame for new faces.
            max_gap: Seconds for which a face may be out of sight and keep its id.
            smoothing: Time constant of the smoothing in seconds; 0 turns it off.
            baseline: Seconds at the start of each track during which the person is at rest; how the face looks then is
                subtracted afterwards. 0 for none.

        Returns:
            The stream. Give its frames to ``update`` or ``read``.

        Raises:
            InputError: An option is out of range, or there is no such encoder.
            EngineUnavailable: The encoder needs ONNX Runtime, which is not installed.
        """
        options = StreamOptions(search_every, max_gap, smoothing, baseline)
        encoder = self._encoder(temporal if smoothing or temporal else False)
        return Stream(self._detector, self._model, options, encoder)

    def offline(self, *, temporal: bool | None = None, baseline: float = 0.0) -> Offline:
        """What reads the faces of a stream again, for recorded video, with the frames that come after each.

        Args:
            temporal: As for ``stream``.
            baseline: As for ``stream``.

        Returns:
            An object whose ``push`` takes the frames and faces of ``stream(temporal=False)``.

        Raises:
            InputError: An option is out of range, or there is no such encoder.
        """
        encoder = self._encoder(temporal)
        return Offline(encoder, self._model.labeling, StreamOptions(baseline=baseline).baseline)

    def _encoder(self, wanted: bool | None) -> TemporalEncoder | None:
        check_range(wanted, "temporal", wanted in (None, True, False), "True, False or None")
        learned = self._model.personal.labels
        if wanted and learned:
            raise InputError(f"a temporal encoder does not know {learned[0]!r}; leave temporal out, or that expression")
        if wanted is False or learned:
            return None
        with self._learning:  # all streams share one encoder
            self._temporal = self._temporal or load_temporal(self._bundle, wanted)
        return self._temporal

    def _read(self, images: Sequence[Image], found: Sequence[Sequence[Detection]]) -> list[list[Face]]:
        spec, labeling = self._model.card.crop, self._model.labeling
        crops = np.empty((sum(map(len, found)), spec.size, spec.size, 3), np.uint8)
        places = iter(crops)
        for image, faces in zip(images, found, strict=True):
            for face in faces:
                crop(image, crop_matrix(spec, face.box, face.landmarks), spec.size, next(places))
        predictions = map(labeling.apply, self._model.predict(crops))
        return [[Face(face.box, face.landmarks, face.score, *next(predictions)) for face in faces] for faces in found]


def _rebuild(arguments: dict[str, Any], personal: Personal) -> Recognizer:
    recognizer = Recognizer(**arguments)
    recognizer.personal = personal
    return recognizer
