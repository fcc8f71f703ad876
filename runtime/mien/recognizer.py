"""The public face: frames in, faces with expression and affect out."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mien.align import crop, crop_matrix
from mien.bundle import MODELS, find_bundle
from mien.bundle.card import ModelCard
from mien.engines.cores import usable_cores
from mien.engines.selection import choose, open_way
from mien.enrollment.classes import Personal
from mien.enrollment.learn import MAX_LOSS, Enrolment, learn
from mien.enrollment.neutral import Baseline
from mien.enrollment.reference_faces import read_exemplars
from mien.enrollment.storage import load_personal, save_personal
from mien.errors import InputError
from mien.tracking.offline import Offline
from mien.tracking.stream import Stream, StreamOptions
from mien.tracking.temporal import TemporalEncoder, load_temporal
from mien.types import Detection, Face, Image
from mien.validation import check_boxes, check_exclude, check_landmarks, check_number, check_threads
from mien.vision.detector import load_detector
from mien.vision.examples import read_examples, rest_of
from mien.vision.expression import ExpressionModel, Labeling, Said
from mien.vision.frames import check_frame


class Recognizer:
    """Reads facial expression from pictures. Share it between threads.

    Only ``personal``, what was learned on this device, ever changes, and that as a whole: a call that has begun and a
    stream that was made before go on with the classes that they began with.
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
        """Load a model and choose what runs it.

        Args:
            model: ``default``, the name of a packaged model, or the folder of a bundle.
            device: ``auto``, ``cpu``, ``cuda``, ``openvino``, ``tensorrt``, ``ort-tensorrt``, ``dla:0`` or ``dla:1``.
                ``auto`` takes what is fastest here: the first call measures for about a second and remembers.
            precision: ``auto``, ``fp32``, ``fp16`` or ``int8``.
            threads: Threads of the expression model; None for all cores but one, which decodes and looks for faces.
            min_face: Smallest face to report, in px of the frame. 0 searches the frame at 640 px, which finds faces
                from about a fortieth of its longer side; a larger value is faster, a smaller one slower.
            min_score: Threshold of the face detector, in (0, 1).
            min_confidence: In [0, 1). An expression whose calibrated probability is lower is labeled ``uncertain``.
            exclude: Classes to leave out, such as ``("contempt",)``; the others share their probability. Labels of the
                card, or of expressions in ``personal``.
            personal: File of ``fer-enroll`` or ``save_personal``, learned with this model.

        Raises:
            ModelNotFound: No bundle of that name or at that path.
            ModelInvalid: The bundle is incomplete, altered or not understood.
            EngineUnavailable: The device or precision that was asked for by name cannot be had.
            InputError: An argument is out of range.
            SourceError: The personal file cannot be read.
        """
        min_score, min_face = check_number(min_score, "min_score"), check_number(min_face, "min_face")
        min_confidence, threads = check_number(min_confidence, "min_confidence"), check_threads(threads)
        if not 0.0 < min_score < 1.0:
            raise InputError(f"min_score is {min_score}; use a value between 0 and 1")
        if not 0.0 <= min_confidence < 1.0:
            raise InputError(f"min_confidence is {min_confidence}; use 0, or a probability below 1")
        if min_face < 0.0:
            raise InputError(f"min_face is {min_face}; use 0 or a number of px")
        bundle = self._bundle = find_bundle(model)
        learned = None if personal is None else load_personal(personal, bundle.card)
        self._choice = choose(bundle, device, precision, threads)
        engine = open_way(bundle, (self._choice.device, self._choice.precision), threads)
        left_out = check_exclude(exclude, (*bundle.card.labels, *(learned.labels if learned else ())))
        self._model = ExpressionModel(bundle.card, engine, Labeling(min_confidence, left_out))
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
            "exclude": left_out,
        }
        self._learning = threading.Lock()
        self._temporal: TemporalEncoder | None = None
        self._detector = load_detector(
            min_face=min_face, min_score=min_score, at_once=1 if threads == 1 else max(1, min(int(usable_cores()), 4))
        )

    def __reduce__(self) -> tuple[Callable[..., Recognizer], tuple[dict[str, Any], Personal]]:
        """A pickle holds the arguments and what was learned: the model is loaded, and ``auto`` chosen, where it is
        unpickled. A bundle of one's own has to be there, too."""
        return _again, (self._arguments, self.personal)

    def __copy__(self) -> Recognizer:
        """Shares the model; what either learns from now on is its own."""
        other = object.__new__(Recognizer)
        other.__dict__.update(self.__dict__)
        other._learning = threading.Lock()
        return other

    def __deepcopy__(self, _: object) -> Recognizer:
        return copy.copy(self)

    @property
    def card(self) -> ModelCard:
        """What the model is: labels, crop, training data and their terms, held-out metrics."""
        return self._model.card

    @property
    def engine(self) -> str:
        """What really executes the expression model, and in which precision: for example ``onnxruntime/cpu fp32``."""
        return f"{self._model.engine.name} {self._choice.precision}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes of the model, then those learned on this device, without ``exclude``."""
        return tuple(label for label in self._model.labels if label not in self._model.labeling.exclude)

    @property
    def personal(self) -> Personal:
        """What was learned on this device. Set it to go back to an earlier state, or after ``renamed`` and ``removed``.

        Raises:
            InputError: It was learned with another model.
        """
        return self._model.personal

    @personal.setter
    def personal(self, personal: Personal) -> None:
        self._model = self._model.with_personal(personal)

    def enroll(
        self, label: str, pictures: Sequence[ArrayLike], *, max_loss: float = MAX_LOSS, skip_faceless: bool = False
    ) -> Enrolment:
        """Learn an expression from examples.

        From the next call on ``predict`` knows the class, and so do streams made from then on. A label that was
        learned before gets these examples too.

        Args:
            label: Name of the expression.
            pictures: uint8 BGR frames or crops (H, W, 3), of one face each.
            max_loss: Accuracy, of 1, that the basic expressions may lose to all learned ones together.
            skip_faceless: Leave out pictures without a face instead of refusing them.

        Returns:
            What was learned and what it costs.

        Raises:
            InputError: A label or picture cannot be used.
            EnrolmentRefused: The examples disagree, look like another class or would cost too much.
            ModelInvalid: The bundle has no exemplars. Nothing changes when an error is raised.
        """
        max_loss = check_number(max_loss, "max_loss")
        if not 0.0 < max_loss <= 1.0:
            raise InputError(f"max_loss is {max_loss}; use a share of 1, such as 0.01 for a point in a hundred")
        examples, _, skipped = read_examples(pictures, self._detector, self._model, skip_faceless)
        with self._learning:
            learned, report = learn(self.personal, label, examples, read_exemplars(self._bundle), max_loss, skipped)
            self.personal = learned
        return report

    def save_personal(self, path: str | Path) -> None:
        """Write what was learned as one small file, for ``personal=``.

        Args:
            path: The file, usually ``personal.npz``.

        Raises:
            OutputError: The file cannot be written.
        """
        save_personal(self.personal, path)

    def enroll_neutral(self, pictures: Sequence[ArrayLike], *, skip_faceless: bool = False) -> Baseline:
        """Learn how a person looks at rest, for a recognizer that one person uses.

        It is taken off from then on, from affect too. ``replace(personal, rest=None)`` forgets it.

        Args:
            pictures: uint8 BGR frames or crops (H, W, 3), of one face each.
            skip_faceless: Leave out pictures without a face instead of refusing them.

        Returns:
            The mean of what these faces show.

        Raises:
            InputError: A picture cannot be used.
            EnrolmentRefused: The face is not at rest.
        """
        examples, affect, _ = read_examples(pictures, self._detector, self._model, skip_faceless)
        with self._learning:
            rest = rest_of(examples, affect, self._model.card.labels)
            self.personal = replace(self.personal, rest=rest)
        return rest

    def predict(self, frame: ArrayLike) -> list[Face]:
        """Read the faces of one picture. To read a file use ``open_source``.

        Args:
            frame: uint8 BGR (H, W, 3), as cv2 gives it; a Pillow picture, converted by its mode; or a ``cv2.UMat``.

        Returns:
            The faces, the largest first; none gives an empty list.

        Raises:
            InputError: The frame is not such a picture.
        """
        return self.predict_batch([frame])[0]

    def predict_batch(self, frames: Sequence[ArrayLike]) -> list[list[Face]]:
        """Read the faces of several pictures with one call of the engine.

        Args:
            frames: Pictures as for ``predict``; their sizes may differ.

        Returns:
            For each frame its faces, the largest first.

        Raises:
            InputError: A frame is not a picture.
        """
        images = [check_frame(frame) for frame in frames]
        return self._read(images, [self._detector.detect(image) for image in images])

    def predict_boxes(self, frame: ArrayLike, boxes: ArrayLike, landmarks: ArrayLike | None = None) -> list[Face]:
        """Read faces that another detector found.

        Args:
            frame: A picture as for ``predict``.
            boxes: (N, 4) x1 y1 x2 y2 px.
            landmarks: (N, 5, 2) px: the person's right eye, left eye, nose tip, right and left corner of the mouth.
                With them the crop is turned level.

        Returns:
            The faces in the order of ``boxes``, with a score of 1.

        Raises:
            InputError: A box is not finite, has no size, or lies outside of the frame.
        """
        image = check_frame(frame)
        checked = check_boxes(boxes, image.shape)
        points = None if landmarks is None else check_landmarks(landmarks, checked)
        detections = [Detection(box, None if points is None else points[i], 1.0) for i, box in enumerate(checked)]
        return self._read([image], [detections])[0]

    def stream(self, *, temporal: bool | None = None, **options: float) -> Stream:
        """Make the state of one camera or video: ids that stay, values that do not flicker.

        Args:
            temporal: Whether the bundle's temporal encoder reads each face from its last frames, in place of the
                filters. None: where the bundle has one, ``smoothing`` is not 0 and no expressions were learned here,
                which an encoder does not know.
            **options: Seconds, as in ``StreamOptions``: ``search_every``, ``max_gap``, ``smoothing``, ``baseline``.

        Returns:
            A stream, which is not for several threads at once.

        Raises:
            InputError: An option is out of range, or there is no such encoder.
        """
        made = StreamOptions(**options)
        model, encoder = self._model, self._encoder(temporal if made.smoothing or temporal else False)
        return Stream(self._detector, model, made, encoder)

    def offline(self, *, temporal: bool | None = None, baseline: float = 0.0) -> Offline:
        """Make what reads the faces of a recorded stream again, with the frames that come after each.

        Args:
            temporal: As for ``stream``. The stream itself should be ``stream(temporal=False)``.
            baseline: Seconds at the start of each track that show the person at rest; 0 for none.

        Returns:
            An ``Offline``, which gives frames back about a second later.

        Raises:
            InputError: ``baseline`` is out of range, or there is no such encoder.
        """
        encoder = self._encoder(temporal)
        return Offline(encoder, self._model.labeling, StreamOptions(baseline=baseline).baseline)

    def _encoder(self, wanted: bool | None) -> TemporalEncoder | None:
        if wanted not in (None, True, False):
            raise InputError(f"temporal is {wanted!r}; use True, False or None")
        learned = self._model.personal.labels
        if wanted and learned:
            raise InputError(f"a temporal encoder does not know {learned[0]!r}; leave temporal out, or that expression")
        if wanted is False or learned:
            return None
        with self._learning:  # one for all streams
            self._temporal = self._temporal or load_temporal(self._bundle, wanted)
        return self._temporal

    def _read(self, images: Sequence[Image], found: Sequence[Sequence[Detection]]) -> list[list[Face]]:
        spec = self._model.card.crop
        crops = np.empty((sum(map(len, found)), spec.size, spec.size, 3), np.uint8)
        places = iter(crops)
        for image, faces in zip(images, found, strict=True):
            for face in faces:
                crop(image, crop_matrix(spec, face.box, face.landmarks), spec.size, next(places))
        results = map(self._labelled, self._model.read(crops))
        return [[Face(face.box, face.landmarks, face.score, *next(results)) for face in faces] for faces in found]

    def _labelled(self, said: Said) -> Said:
        expression, affect, embedding = said
        labeling = self._model.labeling
        if labeling.exclude:
            expression = labeling.expression(labeling.kept(expression.probabilities))
        return expression, affect, embedding


def _again(arguments: dict[str, Any], personal: Personal) -> Recognizer:
    made = Recognizer(**arguments)
    made.personal = personal
    return made
