"""Teachers that are ONNX files: any network whose input, outputs and classes a TOML file describes; and bundles."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from mien.align import CropSpec
from mien.bundle import find_bundle
from mien.errors import InputError, ModelInvalid
from mien_train.teachers.base import TeacherOutput, check_classes, recrop, to_canonical
from mien_train.teachers.networks import identity_of

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class OnnxSpec:
    """Outputs are written ``name``, ``name[8]`` or ``name[0:8]`` (columns); an empty name is the first output.

    ``mean`` and ``std`` are per channel of the picture in [0, 1], red first. ``probabilities``: the expression output
    is a softmax already.
    """

    model: str
    classes: tuple[str, ...]
    crop: CropSpec
    expression: str
    valence: str = ""
    arousal: str = ""
    embedding: str = ""
    layout: str = "nchw"
    channels: str = "rgb"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    probabilities: bool = False

    def __post_init__(self) -> None:
        check_classes(self.classes)
        if self.layout not in ("nchw", "nhwc") or self.channels not in ("rgb", "bgr"):
            raise InputError('teacher: layout is "nchw" or "nhwc", channels are "rgb" or "bgr"')
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise InputError("teacher: mean and std have three values each, and std is above 0")


class OnnxTeacher:
    """Raises InputError where the file is missing or the mapping does not fit it, ModelInvalid for a broken file."""

    def __init__(self, spec: OnnxSpec):
        path = Path(spec.model)
        if not path.is_file():
            raise InputError(f"no teacher at {path}; set model in the teacher's file to where it is")
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own kinds, unrelated to each other
            raise ModelInvalid(f"{path} is not a readable ONNX model: {error}") from error
        self.spec, self.name, self.crop = spec, str(path), spec.crop
        self.identity = identity_of(path, replace(spec, model=""))  # the same in any folder
        entry = self.session.get_inputs()[0]
        self.input, first = entry.name, entry.shape[0]
        self.batch = first if isinstance(first, int) and first > 0 else 0
        self.outputs = [output.name for output in self.session.get_outputs()]

    def __call__(self, crops: Tensor, spec: CropSpec) -> TeacherOutput:
        own = self.spec
        x = (recrop(crops, spec, self.crop).cpu() / 255 - torch.tensor(own.mean)[:, None, None]) / torch.tensor(
            own.std
        )[:, None, None]
        x = x.flip(1) if own.channels == "bgr" else x
        x = x.permute(0, 2, 3, 1) if own.layout == "nhwc" else x
        outputs = self._run(x.contiguous().numpy())
        logits = self._pick(outputs, own.expression, "expression")
        if logits.shape[1] != len(own.classes):
            raise InputError(
                f"{self.name}: expression = {own.expression!r} gives {logits.shape[1]} columns for "
                f"{len(own.classes)} classes; write for example {self.outputs[0]}[0:{len(own.classes)}]"
            )
        if own.probabilities:
            logits = logits.clamp(min=1e-6).log()
        affect = torch.full((len(x), 2), float("nan"))
        for column, written in enumerate((own.valence, own.arousal)):
            if written:
                affect[:, column] = self._pick(outputs, written, "affect")[:, 0].clamp(-1, 1)
        embedding = self._pick(outputs, own.embedding, "embedding").to(crops.device) if own.embedding else None
        return TeacherOutput(to_canonical(logits, own.classes).to(crops.device), affect.to(crops.device), embedding)

    def _run(self, x: Any) -> dict[str, Tensor]:
        step = self.batch or len(x)
        parts = []
        for start in range(0, len(x), step):
            part = x[start : start + step]
            missing = step - len(part)
            padded = np.concatenate([part, np.repeat(part[-1:], missing, 0)]) if missing else part
            try:
                results = self.session.run(None, {self.input: padded})
            except Exception as error:
                raise InputError(f"{self.name} refuses crops of shape {padded.shape}: {error}") from error
            parts.append([np.asarray(output, np.float32).reshape(step, -1)[: len(part)] for output in results])
        return {
            name: torch.from_numpy(np.concatenate(column))
            for name, column in zip(self.outputs, zip(*parts, strict=True), strict=True)
        }

    def _pick(self, outputs: dict[str, Tensor], written: str, purpose: str) -> Tensor:
        match = re.fullmatch(r"([^\[\]]*)(?:\[(\d+)(?::(\d+))?\])?", written)
        name = match.group(1) or self.outputs[0] if match else ""
        if match is None or name not in outputs:
            raise InputError(
                f"{self.name}: {purpose} = {written!r} is not an output; they are {', '.join(self.outputs)}, written "
                "as name, name[8] or name[0:8]"
            )
        if match.group(2) is None:
            return outputs[name]
        start = int(match.group(2))
        stop = int(match.group(3) or start + 1)
        if purpose != "expression" and not start < stop <= outputs[name].shape[1]:
            raise InputError(
                f"{self.name}: {purpose} = {written!r} is beyond the {outputs[name].shape[1]} columns of {name}"
            )
        return outputs[name][:, start:stop]


class BundleTeacher(OnnxTeacher):
    """A bundle: the fp32 file that devices run. Affect is NaN where the bundle's was never trained."""

    def __init__(self, folder: str):
        bundle = find_bundle(folder)
        self.path, self.has_affect = bundle.model_file("fp32"), bundle.card.has_affect
        super().__init__(
            OnnxSpec(str(self.path), bundle.card.labels, bundle.card.crop, "expression", probabilities=True)
        )

    def __call__(self, crops: Tensor, spec: CropSpec) -> TeacherOutput:
        if spec != self.crop:
            crops = recrop(crops, spec, self.crop).round().permute(0, 2, 3, 1)
        outputs = {name: value.to(crops.device) for name, value in self._run(crops.byte().cpu().numpy()).items()}
        logits = outputs["expression"].clamp(min=1e-9).log()
        affect = outputs["affect"] if self.has_affect else torch.full_like(outputs["affect"], float("nan"))
        return TeacherOutput(to_canonical(logits, self.spec.classes), affect, outputs["embedding"])
