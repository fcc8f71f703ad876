"""Model bundles on disk: found by name or path, and verified."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from mien.bundle.card import CARD, ModelCard, read_card
from mien.errors import EngineUnavailable, ModelInvalid, ModelNotFound
from mien.files import sha256

FILES = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
IR_FILES = {"fp32": "model.openvino.xml", "int8": "model.int8.openvino.xml"}
"""OpenVINO's own format of a model: this file, and one beside it that ends in .bin."""
HEAD = "head.npz"
"""In a bundle that shares the network of another: its classes' layer (mien.engines.head)."""
DEFAULT = "student"
MODELS = Path(str(files("mien") / "models"))


@dataclass(frozen=True)
class Bundle:
    """A folder with a card and the files that it names."""

    folder: Path
    card: ModelCard

    @property
    def network(self) -> Bundle:
        """The bundle with the model files: this one, or the packaged one whose network it shares.

        Raises ModelInvalid if that one is missing, or is not the one that it was made for.
        """
        if not self.card.network:
            return self
        folder = MODELS / self.card.network["bundle"]
        shared = Bundle(folder, read_card(folder))
        if shared.card.files.get(FILES["fp32"]) != self.card.network["sha256"]:
            raise ModelInvalid(
                f"{self.folder} was made for another {folder.name} than the one that this mien packages; make it anew"
            )
        return shared

    @property
    def precisions(self) -> list[str]:
        """The precisions of which there is a model file, fp32 first."""
        return [key for key, file in FILES.items() if file in self.network.card.files]

    def model_file(self, precision: str = "fp32", device: str = "cpu") -> Path:
        """The verified model file of a precision: ONNX or, for ``openvino``, its own format if the bundle has it.

        Raises EngineUnavailable for a precision that the bundle does not hold, ModelInvalid if the file was altered, or
        if the bundle shares the network of another one, which alone would not tell its classes.
        """
        if self.card.network:
            raise ModelInvalid(
                f"{self.folder} holds only a head for the network of {self.card.network['bundle']!r}, no model file; "
                "export its checkpoint without --share for one"
            )
        if precision not in FILES:
            raise EngineUnavailable(f"unknown precision {precision!r}; choose one of auto, {', '.join(FILES)}")
        if device == "openvino" and IR_FILES.get(precision) in self.card.files:
            self.verified(str(Path(IR_FILES[precision]).with_suffix(".bin")))
            return self.verified(IR_FILES[precision])
        if FILES[precision] not in self.card.files:
            held = ", ".join(self.precisions) or "none"
            remedy = "export its checkpoint again" if precision == "fp32" else "make one with fer-export"
            raise EngineUnavailable(f"bundle {self.folder} has no {precision} model; it holds {held}; {remedy}")
        return self.verified(FILES[precision])

    def verified(self, name: str) -> Path:
        """The path of a file in the bundle. ModelInvalid if it is missing or does not match its checksum."""
        if name not in self.card.files:
            raise ModelInvalid(f"{self.folder / name} is not listed in its card; export the bundle again")
        path = self.folder / name
        if not path.is_file():
            raise ModelInvalid(f"{path} is missing although the card lists it; export or copy the bundle again")
        digest = sha256(path)
        if digest != self.card.files[name]:
            raise ModelInvalid(
                f"{path} has sha256 {digest[:12]}..., but its card says {self.card.files[name][:12]}...: "
                "the file was altered; export or copy the bundle again"
            )
        return path


def find_bundle(model: str | Path = "default") -> Bundle:
    """Find a bundle: ``default``, the name of a packaged bundle, or the path of a folder with a card.

    Raises ModelNotFound, or ModelInvalid for a folder that is not a bundle.
    """
    name = DEFAULT if str(model) == "default" else str(model)
    for folder in (MODELS / name, Path(name)):
        if os.path.isfile(folder / CARD):
            return Bundle(folder, read_card(folder))
    if os.path.isdir(name):
        raise ModelInvalid(f"{model} is not a model bundle: it holds no {CARD}; make one with fer-export")
    names = ", ".join(packaged_names())
    raise ModelNotFound(f"no model {str(model)!r}: give the path of a bundle, or one of: {names}")


def packaged_names() -> list[str]:
    """The names that ``find_bundle`` knows."""
    return ["default", *sorted(path.parent.name for path in MODELS.glob(f"*/{CARD}"))]
