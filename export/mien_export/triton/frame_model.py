"""Triton's Python backend: a frame -> its faces. mien decodes, aligns and labels; two other models of the same server
search and read. The server needs numpy, OpenCV and mien, and no inference engine in Python.

``fer-export --triton`` copies this file into a model repository as ``model.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from mien.align import crop, crop_matrix
from mien.bundle import Bundle
from mien.bundle.card import read_card
from mien.engines.golden import INT8_WRONG, check
from mien.errors import InputError, MienError, ModelInvalid
from mien.types import Detection, Floats, Image
from mien.validation import check_exclude, check_number, check_range
from mien.vision.detector import STRIDES, Detector
from mien.vision.expression import ExpressionModel, Labeling
from mien.vision.frames import check_frame

SEARCHED = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]


class OtherModel:
    """An engine (``mien.engines.Engine``) whose calls another model of this server answers."""

    def __init__(self, model: str, tensor: str, outputs: Sequence[str], most: int):
        """``tensor``: name of its input. ``most``: largest batch that it takes."""
        self.name = f"triton/{model}"
        self._model, self._tensor, self._outputs, self._most = model, tensor, list(outputs), most

    def run(self, batch: Image) -> Mapping[str, Floats]:
        """uint8 (N, H, W, 3) -> outputs by name. Raises the server's error as TritonModelException."""
        answers = [self._ask(batch[i : i + self._most]) for i in range(0, len(batch), self._most)]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in self._outputs}

    def _ask(self, batch: Image) -> dict[str, Floats]:
        request = pb_utils.InferenceRequest(
            model_name=self._model,
            requested_output_names=self._outputs,
            inputs=[pb_utils.Tensor(self._tensor, np.ascontiguousarray(batch))],
            # Without this a model on a GPU leaves its outputs there.
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise pb_utils.TritonModelException(f"{self._model}: {response.error().message()}")
        return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in self._outputs}


class TritonPythonModel:
    """What Triton loads, one for each instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Check the settings. Other models cannot be called yet."""
        parameters = json.loads(args["model_config"])["parameters"]
        settings = {name: value.get("string_value", "") for name, value in parameters.items()}
        folder = Path(__file__).parent
        self._bundle = Bundle(folder, read_card(folder))
        card = self._bundle.card
        min_face, min_score, min_confidence = (
            _number(settings[name], name) for name in ("min_face", "min_score", "min_confidence")
        )
        check_range(min_face, "min_face", min_face >= 0.0, "0 or a number of px")
        check_range(min_score, "min_score", 0.0 < min_score < 1.0, "a value between 0 and 1")
        check_range(min_confidence, "min_confidence", 0.0 <= min_confidence < 1.0, "0, or a probability below 1")
        excluded = [name.strip() for name in settings["exclude"].split(",") if name.strip()]
        self._labeling = Labeling(min_confidence, check_exclude(excluded, card.labels))
        self._student = OtherModel(settings["student"], "crops", list(card.outputs), int(settings["crops_at_once"]))
        search = OtherModel(settings["detector"], "image", SEARCHED, 1)
        self._detector = Detector(search, min_face=min_face, min_score=min_score)
        self._model: ExpressionModel | None = None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """A response for each request, with its faces or the reason why there are none."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            frame = check_frame(pb_utils.get_input_tensor_by_name(request, "frame").as_numpy())
            outputs = self._read(frame, self._detector.detect(frame))
        except InputError as error:
            return _refusal(str(error), pb_utils.TritonError.INVALID_ARG)
        except (MienError, pb_utils.TritonModelException) as error:
            return _refusal(str(error), pb_utils.TritonError.INTERNAL)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])

    def _read(self, frame: Image, faces: list[Detection]) -> dict[str, Any]:
        """The outputs by name, one row a face."""
        model, spec, count = self._checked_model(), self._bundle.card.crop, len(faces)
        crops = np.empty((count, spec.size, spec.size, 3), np.uint8)
        for face, out in zip(faces, crops, strict=True):
            crop(frame, crop_matrix(spec, face.box, face.landmarks), spec.size, out)
        read = [self._labeling.apply(prediction) for prediction in model.predict(crops)]
        labels = self._bundle.card.labels
        outputs: dict[str, Any] = {
            "box": [face.box for face in faces],
            "landmarks": [face.landmarks for face in faces],
            "score": [face.score for face in faces],
            "confidence": [expression.confidence for expression, _, _ in read],
            # An excluded class keeps its place, with a probability of 0.
            "expression": [[expression.probabilities.get(name, 0.0) for name in labels] for expression, _, _ in read],
            "affect": [(affect.valence, affect.arousal) for _, affect, _ in read if affect],
            "embedding": [embedding for _, _, embedding in read],
        }
        widths = {"box": (4,), "landmarks": (5, 2)} | {name: (n,) for name, n in self._bundle.card.outputs.items()}
        found = {
            name: np.asarray(values, np.float32).reshape(count, *widths.get(name, ()))
            for name, values in outputs.items()
            if name != "affect" or self._bundle.card.has_affect
        }
        return found | {"label": np.array([expression.label.encode() for expression, _, _ in read], np.object_)}

    def _checked_model(self) -> ExpressionModel:
        """The expression model. The first call compares it with the bundle's golden outputs.

        Raises ModelInvalid if the server computes something else, as INT8 does on x86 without VNNI.
        """
        if self._model is None:
            model = ExpressionModel(self._bundle.card, self._student, self._labeling)
            differences = check(self._student, self._bundle) or {}
            if differences.get("expression", 0.0) > INT8_WRONG:
                raise ModelInvalid(
                    f"{self._student.name} is wrong on this machine: probabilities differ by up to "
                    f"{differences['expression']:.2f} from those of the exported model; export the repository again, "
                    "in fp32 if it is int8"
                )
            self._model = model
        return self._model


def _refusal(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))


def _number(text: str, name: str) -> float:
    """A setting of ``config.pbtxt``, where all of them are text. Raises InputError unless it is a finite number."""
    try:
        return check_number(float(text), name)
    except ValueError as error:  # InputError is one, too
        raise InputError(f"parameter {name} in config.pbtxt is {text!r}; use a finite number") from error
