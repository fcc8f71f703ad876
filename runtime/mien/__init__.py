"""mien reads facial expression in real time on small machines: eight expressions, valence and arousal.

from mien import Recognizer
faces = Recognizer().predict(frame)     # uint8 BGR (H, W, 3) -> list[Face]
"""

import os as _os
from importlib.metadata import version as _version

# ONNX Runtime 1.29 and later send usage data to Microsoft unless told not to, which only helps before it is imported.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from mien.errors import (
    EngineUnavailable,
    EnrolmentRefused,
    InputError,
    MienError,
    ModelInvalid,
    ModelNotFound,
    OutputError,
    SourceError,
)
from mien.faces import Affect, Expression, Face
from mien.recognizer import Recognizer

__all__ = [
    "Affect",
    "EngineUnavailable",
    "EnrolmentRefused",
    "Expression",
    "Face",
    "InputError",
    "MienError",
    "ModelInvalid",
    "ModelNotFound",
    "OutputError",
    "Recognizer",
    "SourceError",
]
__version__ = _version("mien")
