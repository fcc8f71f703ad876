"""Name or path -> a verified model bundle on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from mien.card import CARD, ModelCard, read_card
from mien.errors import EngineUnavailable, ModelInvalid, ModelNotFound

FILES = {"fp32": "model.onnx", "int8": "model.int8.onnx", "fp16": "model.fp16.onnx"}
DEFAULT = "student"
MODELS = Path(str(files("mien") / "models"))


@dataclass(frozen=True)
class Bundle:
    """A folder with a card and the files that it names."""

    folder: Path
    card: ModelCard

    def model_file(self, precision: str = "auto") -> Path:
        """The verified model file of a precision (``auto``: fp32, the reference, as long as nothing is measured).

        Raises EngineUnavailable for a precision the bundle does not hold, ModelInvalid where the file was altered.
        """
        wanted = "fp32" if precision == "auto" else precision
        if wanted not in FILES:
            raise EngineUnavailable(f"unknown precision {precision!r}; choose one of auto, {', '.join(FILES)}")
        name = FILES[wanted]
        if name not in self.card.files:
            held = [key for key, file in FILES.items() if file in self.card.files]
            raise EngineUnavailable(f"bundle {self.folder} has no {wanted} model; it holds {', '.join(held) or 'none'}")
        path = self.folder / name
        if not path.is_file():
            raise ModelInvalid(f"{path} is missing although the card names it; export or copy the bundle again")
        digest = sha256(path)
        if digest != self.card.files[name]:
            raise ModelInvalid(
                f"{path} has sha256 {digest[:12]}..., but its card says {self.card.files[name][:12]}...: "
                "the file was altered; export or copy the bundle again"
            )
        return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_bundle(model: str | Path = "default") -> Bundle:
    """``default``, the name of a packaged bundle, or a path to a folder with a card."""
    name = DEFAULT if str(model) == "default" else str(model)
    for folder in (MODELS / name, Path(model)):
        if (folder / CARD).is_file():
            return Bundle(folder, read_card(folder))
    if Path(model).is_dir():
        raise ModelInvalid(f"{model} is not a model bundle: it holds no {CARD}; make one with fer-export")
    names = ", ".join(packaged_names())
    raise ModelNotFound(f"no model {str(model)!r}: give the path of a bundle, or one of: {names}")


def packaged_names() -> list[str]:
    """What ``find_bundle`` knows by name."""
    return ["default", *sorted(path.parent.name for path in MODELS.glob(f"*/{CARD}"))]
