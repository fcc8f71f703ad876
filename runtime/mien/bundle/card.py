"""The model card describes a bundle. It is the only source of labels, input size, crop and calibration."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.align import CropSpec
from mien.errors import InputError, ModelInvalid
from mien.schema import build

FORMAT = 1
CARD = "card.json"


@dataclass(frozen=True)
class TrainingSet:
    """One data set that the weights were trained on. ``terms``: the license or terms that its owners state."""

    name: str
    images: int
    terms: str


@dataclass(frozen=True)
class Calibration:
    """Temperature scaling (Guo et al. 2017), which is part of the graph; the temperature may depend on the face.

    ``temperature``: its geometric mean over the validation images, for information.
    ``error_before`` and ``error_after``: expected calibration error, 15 bins, by test set.
    """

    temperature: float
    error_before: dict[str, float] = field(default_factory=dict)
    error_after: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelCard:
    """The content of ``card.json``.

    ``labels``: classes in the order of the ``expression`` output. ``crop``: how a face becomes the input, whose side
    is ``crop.size``. ``embedding``: width D of the ``embedding`` output. ``macs``: multiply-accumulates for one crop.
    ``metrics``: held-out metrics by test set. ``files``: sha256 of each model file, by file name. ``origin``: the
    initial weights and the teacher. ``proofs``: by precision or engine (int8, fp16, openvino ...), how much that file
    differs from fp32, as measured by ``fer-export``; ``passed`` says whether it stayed within its limits.
    ``fairness``: predictions for portraits, by group of people, as measured by the benchmark ``strangers``.
    ``temporal``: of a bundle with a temporal encoder, its shape (``mien.tracking.temporal.TemporalSpec``),
    cost and training. ``network``: of a bundle that holds only a head, the packaged ``bundle`` whose network computes
    its embedding, and the ``sha256`` of that one's fp32 file; empty for all others.
    """

    name: str
    version: str
    labels: tuple[str, ...]
    crop: CropSpec
    embedding: int
    backbone: str
    macs: int
    parameters: int
    calibration: Calibration
    metrics: dict[str, Any]
    training: tuple[TrainingSet, ...]
    limits: str
    files: dict[str, str]
    origin: str = ""
    proofs: dict[str, Any] = field(default_factory=dict)
    fairness: dict[str, Any] = field(default_factory=dict)
    temporal: dict[str, Any] = field(default_factory=dict)
    network: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ModelInvalid(
                f"the card has format {self.format}, but this mien reads format {FORMAT}; update mien or the file"
            )
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ModelInvalid("the card's labels must be at least two different names")
        for name in self.files:
            if Path(name).name != name:
                raise ModelInvalid(f"the card lists the file {name!r}; files must be in the card's folder")
        if self.network and (
            set(self.network) != {"bundle", "sha256"} or Path(self.network["bundle"]).name != self.network["bundle"]
        ):
            raise ModelInvalid("network must name a packaged bundle, and the sha256 of its fp32 file")
        for name, proof in self.proofs.items():
            if not isinstance(proof, dict):
                raise ModelInvalid(f"proofs.{name} must be an object")

    @property
    def has_affect(self) -> bool:
        """Whether the model was trained on valence and arousal: then the card holds metrics of them too."""
        return any("accuracy" not in values for values in self.metrics.values())

    @property
    def outputs(self) -> dict[str, int]:
        """The trained outputs of the graph and their widths. Other outputs mean nothing."""
        affect = {"affect": 2} if self.has_affect else {}
        return {"expression": len(self.labels), **affect, "embedding": self.embedding}

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def read_card(folder: Path) -> ModelCard:
    """Read ``folder/card.json``. Raises ModelInvalid if it is missing, broken or not supported."""
    path = folder / CARD
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelInvalid(f"{folder} is not a model bundle: cannot read {CARD} ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ModelInvalid(f"{path} is not valid JSON: {error}") from error
    try:
        return card_from_dict(values)
    except ModelInvalid as error:
        raise ModelInvalid(f"{path}: {error}") from error


def card_from_dict(values: Any) -> ModelCard:
    """A card from its JSON object. Raises ModelInvalid, which names the key, if it is incomplete or not supported."""
    try:
        return build(ModelCard, values, _Complaints())
    except InputError as error:
        raise ModelInvalid(f"the card's crop is not usable: {error}") from error


class _Complaints:
    """What ``build`` raises for a card."""

    def no_table(self, where: str) -> ModelInvalid:
        return ModelInvalid(f"{where or 'the card'} must be an object")

    def unknown(self, key: str, known: list[str]) -> ModelInvalid:
        return ModelInvalid(f"unknown key {key}; update mien, or the bundle")

    def missing(self, where: str, name: str) -> ModelInvalid:
        return ModelInvalid(f"key {where}{name} is missing")

    def wrong_type(self, key: str, hint: object, value: object) -> ModelInvalid:
        return ModelInvalid(f"{key} has a value of the wrong type: {value!r}")
